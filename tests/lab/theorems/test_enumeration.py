import jax
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.lab.theorems.enumeration import enumerate_trajectories, probabilities
from rewardtogo.tabular.exact.evaluation import finite_horizon_values
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet


@pytest.mark.parametrize("num_terminal", [0, 1])
def test_probabilities_sum_to_one_and_give_the_value(num_terminal, key, x64):
    """The oracle is backward induction."""
    mdp = garnet(num_states=3, num_actions=2, num_terminal=num_terminal, discount=0.7, key=key)
    policy = np.asarray(jax.nn.softmax(jr.normal(key, (3, 2))))
    paths = enumerate_trajectories(mdp, horizon=3)
    probability = probabilities(paths, policy)
    expected = probability @ (0.7 ** np.arange(3) @ paths.reward)
    values, _ = finite_horizon_values(mdp, policy, horizon=3)
    assert np.isclose(probability.sum(), 1, rtol=1e-12)
    assert np.isclose(expected, mdp.initial @ values[0], rtol=1e-12)


def test_every_path_is_there_once_and_an_ended_one_waits():
    """One live state: 2 actions and 2 successors a step, until it ends."""
    mdp = tabular_mdp(
        [[[0.5, 0.5], [0.25, 0.75]], [[0, 1], [0, 1]]], [[1, 2], [0, 0]], [1, 0], discount=1.0
    )
    paths = enumerate_trajectories(mdp, horizon=2)
    rows = {
        (tuple(s), tuple(a), tuple(n), tuple(m), float(d))
        for s, a, n, m, d in zip(
            paths.state.T,
            paths.action.T,
            paths.next_state.T,
            paths.mask.T,
            paths.dynamics,
            strict=True,
        )
    }
    stay, end = (0.5, 0.25), (0.5, 0.75)
    ended = {((0, 1), (a, 0), (1, 1), (True, False), end[a]) for a in (0, 1)}
    ran = {
        ((0, 0), (a, b), (0, n), (True, True), stay[a] * (stay, end)[n][b])
        for a in (0, 1)
        for b in (0, 1)
        for n in (0, 1)
    }
    assert rows == ended | ran and paths.dynamics.size == 10
    assert np.all(paths.reward == np.where(paths.mask, 1 + paths.action, 0))


def test_rewards_of_successors_are_those_of_the_path():
    reward = np.arange(4.0).reshape(2, 1, 2)
    mdp = tabular_mdp(np.full((2, 1, 2), 0.5), reward, [0.5, 0.5], discount=0.9)
    paths = enumerate_trajectories(mdp, horizon=2)
    assert np.all(paths.reward == 2 * paths.state + paths.next_state)


def test_a_horizon_without_a_step_is_refused(key):
    mdp = garnet(num_states=2, num_actions=2, discount=0.9, key=key)
    with pytest.raises(ValueError, match="`horizon` must be at least 1 step; got 0"):
        enumerate_trajectories(mdp, horizon=0)
