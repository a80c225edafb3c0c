"""Drawing from a finite MDP: the empirical model of the draws is the model behind them."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense
from rewardtogo.td.steps.dynamics import DRAWS, dynamics


STEPS = 60_000


def walked(mdp, *, max_steps, steps=STEPS):
    """Experience of the uniformly random policy, as arrays over time, and the places after it."""
    process = dynamics(mdp, max_steps=max_steps)

    def step(place, draws):
        action = (draws[0] * process.num_actions).astype(jnp.int32)
        place, seen = process.step(place, action, draws[1:])
        return place, (place, seen)

    first = process.begin(jnp.asarray(0.0))
    draws = jr.uniform(jr.key(0), (steps, 1 + DRAWS))
    return jax.tree.map(np.asarray, jax.jit(lambda: jax.lax.scan(step, first, draws)[1])())


@pytest.mark.parametrize("name", ["FrozenLake-v1", "RandomWalk-5", "Forest"])
def test_frequencies_are_the_models(name, x64):
    """Each outcome's share of a pair's visits, within five standard errors; never an impossible."""
    mdp = problem(name).mdp
    for table in (mdp, dense(mdp)):
        _, seen = walked(table, max_steps=20)
        counts = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
        np.add.at(counts, (seen.state, seen.action, seen.next_state), 1)
        truth, visits = np.asarray(dense(mdp).transition), counts.sum(axis=2, keepdims=True)
        error = np.sqrt(truth * (1 - truth) / np.maximum(visits, 1))
        assert np.all(counts[truth == 0] == 0)
        assert np.all(np.abs(counts - visits * truth) <= 5 * visits * error + 1e-9)
        assert visits.sum() == STEPS


def test_rewards_are_the_outcomes(x64):
    mdp = dense(problem("FrozenLake-v1").mdp)
    _, seen = walked(mdp, max_steps=20)
    if mdp.successor_reward is None:
        expected = np.asarray(mdp.reward)[seen.state, seen.action]
    else:
        expected = np.asarray(mdp.successor_reward)[seen.state, seen.action, seen.next_state]
    assert np.array_equal(seen.reward, expected)


def test_reward_noise_has_its_mean_and_variance(x64):
    transition = np.full((2, 1, 2), 0.5)
    mdp = tabular_mdp(
        transition, [[1.0], [-2.0]], [1.0, 0.0], discount=0.9, reward_noise=[[4.0], [0.25]]
    )
    _, seen = walked(mdp, max_steps=7)
    for state, mean, variance in ((0, 1.0, 4.0), (1, -2.0, 0.25)):
        reward = seen.reward[seen.state == state]
        assert abs(reward.mean() - mean) < 5 * np.sqrt(variance / reward.size)
        assert abs(reward.var() / variance - 1) < 5 * np.sqrt(2 / reward.size)


def test_episodes_end_and_begin_anew(x64):
    """The place after an end is one of μ₀; the successor that is reported is the true one."""
    mdp = problem("FrozenLake-v1").mdp
    place, seen = walked(mdp, max_steps=5)
    ended = seen.terminated | seen.truncated
    assert np.array_equal(seen.terminated, np.asarray(mdp.terminal)[seen.next_state])
    assert np.all(np.asarray(mdp.initial)[place.state[ended]] > 0) and np.all(
        place.time[ended] == 0
    )
    assert np.array_equal(place.state[~ended], seen.next_state[~ended])
    lengths = np.diff(np.flatnonzero(ended), prepend=-1)
    assert lengths.max() == 5
    assert np.all(lengths[seen.truncated[ended]] == 5) and not np.any(
        seen.truncated & seen.terminated
    )


def test_an_episode_must_not_begin_at_its_end():
    mdp = tabular_mdp(
        np.eye(2)[:, None], np.zeros((2, 1)), [0.0, 1.0], terminal=[False, True], discount=0.9
    )
    with pytest.raises(ValueError, match=r"`initial` is 1\.0 at state 1, which is terminal"):
        dynamics(mdp, max_steps=3)
