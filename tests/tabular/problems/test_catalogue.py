import numpy as np
import pytest

from rewardtogo.tabular.mdp import TabularMDP
from rewardtogo.tabular.problems.catalogue import problem, problem_names
from rewardtogo.tabular.problems.files import write_mdp
from rewardtogo.tabular.successors import dense


EXPECTED = {
    "Baird": (7, 2, 0.99),
    "Blackjack": (211, 2, 1.0),
    "BlockingMaze": (54, 4, 0.95),
    "BlockingMaze-after": (54, 4, 0.95),
    "Chain": (5, 2, 0.99),
    "CliffWalking-v1": (48, 4, 1.0),
    "DynaMaze": (54, 4, 0.95),
    "Forest": (3, 2, 0.9),
    "FrozenLake-v1": (16, 4, 0.99),
    "FrozenLake8x8-v1": (64, 4, 0.99),
    "Gambler": (101, 50, 1.0),
    "Garnet-20-4-3": (20, 4, 0.95),
    "Gridworld-4x4": (16, 4, 1.0),
    "Gridworld-5x5": (25, 4, 0.9),
    "JacksCarRental": (441, 11, 0.9),
    "MaximisationBias": (3, 10, 1.0),
    "RandomWalk-1000-100": (1002, 2, 1.0),
    "RandomWalk-19": (21, 2, 1.0),
    "RandomWalk-5": (7, 2, 1.0),
    "RiverSwim": (6, 2, 0.95),
    "ShortCorridor": (4, 2, 1.0),
    "ShortcutMaze": (54, 4, 0.95),
    "ShortcutMaze-after": (54, 4, 0.95),
    "SlipperyGrid-10x10": (100, 4, 0.99),
    "WindyGridworld": (70, 4, 1.0),
}


def test_names_are_sorted_and_complete():
    names = problem_names()
    assert list(names) == sorted(names) and set(EXPECTED) <= set(names)
    assert any(name.startswith("Taxi-v") for name in names)


@pytest.mark.parametrize("name", problem_names())
def test_every_problem_is_whole(name):
    found = problem(name)
    mdp, terminal = found.mdp, np.asarray(found.mdp.terminal)
    if name in EXPECTED:
        assert (mdp.num_states, mdp.num_actions, mdp.discount) == EXPECTED[name]
    assert found.name == name and found.source
    assert np.all(mdp.initial[terminal] == 0)
    assert len(found.states) in (0, mdp.num_states)
    assert len(found.actions) == mdp.num_actions or name.startswith("Garnet")
    assert len(set(found.actions)) == len(found.actions)
    assert len(set(found.states)) == len(found.states)
    assert found.observation is None or found.observation.shape == (mdp.num_states,)
    if found.grid is not None:
        assert found.grid.cell.shape == (mdp.num_states,)
        assert np.all((found.grid.cell >= -1) & (found.grid.cell < np.prod(found.grid.shape)))
        assert len(found.grid.moves) == mdp.num_actions


@pytest.mark.parametrize("name", problem_names())
def test_episodes_end_or_are_cut(name):
    """What is solved without a discount can end from everywhere; what cannot end has a limit."""
    found = problem(name)
    reached = np.asarray(found.mdp.terminal)
    step = dense(found.mdp).transition.sum(axis=1) > 0
    while np.any(more := (step @ reached) & ~reached):
        reached = reached | more
    assert reached.all() or (found.mdp.discount < 1 and found.max_steps is not None)


@pytest.mark.parametrize("name", ["Gridworld-4x4", "FrozenLake-v1", "Forest"])
def test_a_discount_of_ones_own(name):
    mdp = problem(name, discount=0.5).mdp
    assert mdp.discount == 0.5
    assert np.array_equal(mdp.reward, problem(name).mdp.reward)


@pytest.mark.parametrize("discount", [-0.1, 1.5, float("nan")])
def test_discounts_out_of_range(discount):
    with pytest.raises(ValueError, match=r"`discount` must lie in \[0, 1\]; got"):
        problem("JacksCarRental", discount=discount)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FrozenLake", "FrozenLake-v1"),
        ("forest", "Forest"),
        ("CHAIN", "Chain"),
        ("Gridworld4x4", "Gridworld-4x4"),
        ("CliffWalking-v0", "CliffWalking-v1"),
        ("RandomWalk", "RandomWalk-5"),
        ("Garnet-20-4", "Garnet-20-4-3"),
        ("slipperygrid-10x10", "SlipperyGrid-10x10"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"no problem is named '{name}'. Did you mean '{near}'"):
        problem(name)


@pytest.mark.parametrize("name", ["", "xyzzy", "RandomWalk-05", "RandomWalk-٣", "Garnet-0-1-1"])
def test_unknown_names_are_answered_with_all_names(name):
    with pytest.raises(
        ValueError, match=r"no problem is named .* Names: Baird, Blackjack, BlockingMaze, "
    ):
        problem(name)


def test_sizes_of_families():
    assert problem("RandomWalk-7").mdp.num_states == 9
    grid = problem("SlipperyGrid-3x12").grid
    assert grid is not None and grid.shape == (3, 12)
    assert problem("SlipperyGrid-300x200").mdp.num_states == 60_000
    mdp = problem("Garnet-6-2-4").mdp
    assert isinstance(mdp, TabularMDP) and mdp.transition.shape == (6, 2, 6)
    with pytest.raises(ValueError, match=r"`branching` must lie in 1..4; got 5"):
        problem("Garnet-4-2-5")


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_file_is_a_problem_named_after_it(suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    write_mdp(problem("Forest").mdp, path)
    found = problem(str(path))
    assert found.name == "mine" and str(path) in found.source
    assert found.mdp.discount == 0.9 and problem(str(path), discount=0.3).mdp.discount == 0.3
    assert np.allclose(found.mdp.reward, problem("Forest").mdp.reward, rtol=1e-15)
    with pytest.raises(FileNotFoundError):
        problem(str(tmp_path / f"none{suffix}"))
