import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet


P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
R = np.array([[1.0, 2.0], [0.0, 0.0]])
START = np.array([1.0, 0.0])


def test_absorbing_states_without_reward_are_terminal():
    assert tabular_mdp(P, R, START, discount=0.9).terminal.tolist() == [False, True]
    paying = tabular_mdp(P, R + 1, START, discount=0.9)
    assert paying.terminal.tolist() == [False, False]


def test_the_rows_of_a_terminal_state_are_replaced():
    """As the tables of a game may hold anything after its end."""
    junk = np.full((2, 2, 2), np.nan)
    junk[0] = P[0]
    mdp = tabular_mdp(junk, R + 1, START, discount=1.0, terminal=[False, True])
    assert np.array_equal(mdp.transition, P)
    assert np.array_equal(mdp.reward, [[2.0, 3.0], [0.0, 0.0]])


def test_a_reward_of_the_successor_has_its_mean_taken():
    reward = np.array([[[2.0, 4.0], [5.0, 7.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mdp = tabular_mdp(P, reward, START, discount=0.9)
    assert np.allclose(mdp.reward, [[3.0, 5.0], [0.0, 0.0]], rtol=1e-15)
    assert mdp.successor_reward is not None
    assert np.array_equal(mdp.successor_reward, reward)


def test_the_callers_arrays_are_left_alone_and_float32_rows_become_exact():
    thirds = np.full((3, 1, 3), 1 / 3, np.float32)
    before = thirds.copy()
    mdp = tabular_mdp(thirds, np.ones((3, 1)), np.full(3, 1 / 3, np.float32), discount=0.5)
    assert np.array_equal(thirds, before) and mdp.transition.dtype == np.float64
    assert np.allclose(mdp.transition.sum(-1), 1, rtol=1e-15)


def changed(table, index, value):
    table = table.copy()
    table[index] = value
    return table


WRONG = {
    "row sum": ((changed(P, (0, 1, 0), 0.7), R, START), r"state 0, action 1 sums to 0.7"),
    "negative": (
        (changed(P, (0, 0), [-0.5, 1.5]), R, START),
        r"state 0, action 0, successor 0 is -0.5; a probability",
    ),
    "nan": ((changed(P, (0, 0, 1), np.nan), R, START), r"action 0, successor 1 is nan"),
    "initial": ((P, R, np.array([0.5, 0.4])), r"`initial` sums to 0.9"),
    "initial sign": ((P, R, np.array([-1.0, 2.0])), r"`initial` at state 0 is -1.0"),
    "reward": ((P, changed(R, (0, 1), np.inf), START), r"`reward` at state 0, action 1 is inf"),
    "shape": ((P[0], R, START), r"`transition` must have shape .* got \(2, 2\)"),
    "reward shape": ((P, R[0], START), r"`reward` must have shape .* got \(2,\)"),
    "initial shape": ((P, R, np.ones(3) / 3), r"`initial` must have shape .* got \(3,\)"),
}


@pytest.mark.parametrize(("tables", "message"), WRONG.values(), ids=WRONG)
def test_wrong_tables_are_refused_by_place(tables, message):
    with pytest.raises(ValueError, match=message):
        tabular_mdp(*tables, discount=0.9)


@pytest.mark.parametrize("discount", [-0.1, 1.5, float("nan")])
def test_discount_out_of_range(discount):
    with pytest.raises(ValueError, match=r"`discount` must lie in \[0, 1\]; got"):
        tabular_mdp(P, R, START, discount=discount)


def test_terminal_must_be_a_mask():
    with pytest.raises(ValueError, match="`terminal` must hold 2 booleans"):
        tabular_mdp(P, R, START, discount=0.9, terminal=[1])


def test_garnet_has_the_shape_it_is_asked_for(key):
    mdp = garnet(num_states=7, num_actions=3, branching=2, num_terminal=2, discount=0.9, key=key)
    assert mdp.num_states == 7 and mdp.num_actions == 3
    assert np.all((mdp.transition[:5] > 0).sum(-1) == 2)
    assert mdp.terminal.tolist() == [False] * 5 + [True] * 2
    assert np.all(mdp.initial[5:] == 0) and np.isclose(mdp.initial.sum(), 1, rtol=1e-15)
    other = garnet(num_states=7, num_actions=3, discount=0.9, key=jr.key(1))
    assert not np.allclose(mdp.reward[:5], other.reward[:5])


@pytest.mark.parametrize(("branching", "num_terminal"), [(0, 0), (6, 0), (2, 5), (2, -1)])
def test_garnet_counts_out_of_range(branching, num_terminal, key):
    with pytest.raises(ValueError, match="must lie in"):
        garnet(
            num_states=5,
            num_actions=2,
            branching=branching,
            num_terminal=num_terminal,
            discount=0.9,
            key=key,
        )
