from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from plain_values import optimal_values

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.gymnasium_tables import gymnasium_names
from rewardtogo.tabular.successors import SuccessorMDP, dense


TAXI = next(name for name in gymnasium_names() if name.startswith("Taxi"))
PUBLISHED = {
    "FrozenLake-v1": 0.542026,
    "FrozenLake8x8-v1": 0.414640,
    "CliffWalking-v1": -13.0,
    TAXI: 7.93,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_optimal_values(name):
    mdp = problem(name).mdp
    assert np.isclose(mdp.initial @ optimal_values(mdp), PUBLISHED[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", gymnasium_names())
def test_gymnasiums_own_steps_are_those_of_the_table(name):
    """The same starts, successors, rewards and ends, along a long random walk."""
    mdp = problem(name).mdp
    assert isinstance(mdp, SuccessorMDP) and mdp.outcome_reward is not None
    terminal = np.asarray(mdp.terminal)
    rng = np.random.default_rng(0)
    with gym.make(name, max_episode_steps=100) as env:
        state, fresh = env.reset(seed=0)[0], True
        for _ in range(1500):
            assert mdp.initial[state] > 0 or not fresh
            action = int(rng.integers(mdp.num_actions))
            successor, reward, ended, cut, _ = env.step(action)
            # Taxi's table enters its last states without an end too: the end is one more state.
            to = mdp.num_states - 1 if ended and not terminal[successor] else successor
            assert terminal[to] == ended
            same = mdp.outcome_reward[action, :, state] == reward
            same &= mdp.successor[action, :, state] == to
            assert np.sum(mdp.probability[action, same, state]) > 0
            fresh = ended or cut
            state = env.reset()[0] if fresh else successor


def test_frequencies_of_gymnasiums_steps():
    steps = 3000
    table = dense(problem("FrozenLake-v1").mdp).transition
    with gym.make("FrozenLake-v1") as env:
        env.reset(seed=0)
        lake: Any = env.unwrapped
        for state, action in [(0, 0), (6, 1), (14, 2)]:
            counts = np.zeros(16)
            for _ in range(steps):
                lake.s = state
                counts[lake.step(action)[0]] += 1
            p = table[state, action]
            assert np.all(np.abs(counts / steps - p) <= 5 * np.sqrt(p * (1 - p) / steps))


@pytest.mark.parametrize(
    ("name", "state"), [("FrozenLake-v1", 6), ("FrozenLake8x8-v1", 9), ("CliffWalking-v1", 13)]
)
def test_arrows_point_to_where_actions_lead(name, state):
    found = problem(name)
    table, grid = dense(found.mdp).transition, found.grid
    assert grid is not None
    rows, columns = grid.shape
    assert np.array_equal(grid.cell, np.arange(rows * columns))
    words = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    assert [words[action] for action in found.actions] == list(grid.moves)
    for action, (down, right) in enumerate(grid.moves):
        step = int(down) * columns + int(right)
        assert table[state, action, state + step] > 0
        assert table[state, action, state - step] == 0


def test_the_order_of_taxis_actions():
    """South is tried from the upper left corner, where a wall is to the north and west."""
    found = problem(TAXI)
    assert found.actions == ("south", "north", "east", "west", "pick up", "drop off")
    table = dense(found.mdp)
    rows = [int(np.argmax(table.transition[1, action])) // 100 for action in range(4)]
    assert rows == [1, 0, 0, 0]
    assert np.argmax(table.transition[1, 2]) // 20 == 1
    # The passenger waits at this corner: picking up is allowed, dropping off is not.
    assert table.reward[1].tolist() == [-1, -1, -1, -1, -1, -10]


def test_limits_are_gymnasiums():
    limits = {name: problem(name).max_steps for name in PUBLISHED}
    assert limits == {
        "FrozenLake-v1": 100,
        "FrozenLake8x8-v1": 200,
        "CliffWalking-v1": None,
        TAXI: 200,
    }


class Coin(gym.Env):
    """One's own environment with a table, as its author would write it."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(1)
    P: ClassVar = {0: {0: [(0.5, 0, 0, False), (0.5, 1, 2, True)]}, 1: {0: [(1.0, 1, 0, True)]}}
    initial_state_distrib = (1.0, 0.0)


@pytest.fixture
def coin():
    gym.register("CoinWithATable-v0", lambda **_: Coin(), max_episode_steps=7)
    yield "CoinWithATable-v0"
    gym.registry.pop("CoinWithATable-v0")


def test_any_registered_environment_with_a_table_is_a_problem(coin):
    found = problem(coin)
    assert found.max_steps == 7 and found.grid is None and found.actions == ()
    # v = 0.5·2 + 0.5·0.99·v
    assert np.allclose(optimal_values(found.mdp), [1 / 0.505, 0], rtol=1e-10)


@pytest.mark.parametrize("name", ["Blackjack-v1", "CartPole-v1"])
def test_environments_without_a_table_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name}' publishes no table"):
        problem(name)
