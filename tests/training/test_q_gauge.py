"""What Q̂ says of a start beside the discounted return that the greedy policy then earned."""

import dataclasses

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.dqn import DQN
from rewardtogo.algorithms.normalised import Normalised
from rewardtogo.envs.probes import Chain
from rewardtogo.envs.wrappers import TimeLimit
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.exploration import EpsilonGreedyPolicy
from rewardtogo.nn.values import AbstractActionValues
from rewardtogo.sources.task import JaxTask, make_task
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.solvers.solution import centred_lookahead
from rewardtogo.tabular.solvers.solve import solve
from rewardtogo.training.evaluate import make_evaluator


DISCOUNT, OFFSET = 0.9, 0.7


class Linear(AbstractActionValues):
    """Q(o, a) = (o·W + b)_a."""

    weight: jax.Array
    bias: jax.Array

    def __call__(self, observation):
        q = observation @ self.weight
        return q + jnp.broadcast_to(self.bias, q.shape)


class Table(AbstractActionValues):
    """Q of a state that is observed as its number."""

    table: jax.Array

    def __call__(self, observation):
        return self.table[observation]


def greedy(action_values):
    return EpsilonGreedyPolicy(action_values, 0.0)


def gauge(task, policy_of, arrays, *, episodes=12, discount=DISCOUNT):
    num_seeds = len(jax.tree.leaves(arrays)[0])
    run = make_evaluator(
        task, policy_of, num_seeds=num_seeds, num_episodes=episodes, discount=discount
    )
    found = run(arrays, 0)
    assert found.q_minus_return is not None
    return found, found.q_minus_return


def chain(length):
    """The exact Q of a corridor, and what an offset makes of it; a seed each."""
    place = np.arange(length)
    right = DISCOUNT ** np.maximum(length - 2.0 - place, 0)
    left = DISCOUNT * right[np.maximum(place - 1, 0)]
    q = np.stack([left, right], axis=-1)
    return Linear(jnp.stack([q, q]).astype(jnp.float32), jnp.array([[0.0], [OFFSET]]))


def test_an_exact_table_has_no_surplus_and_an_offset_is_seen():
    found, surplus = gauge(JaxTask("Chain", Chain(6), 2), greedy, chain(6))
    assert np.all(found.lengths == 5)
    assert np.allclose(surplus, [[0.0] * 12, [OFFSET] * 12], atol=1e-6)


def test_what_was_cut_bootstraps():
    """Two steps of five: exact values have no surplus, of an offset γ² is hidden."""
    found, surplus = gauge(JaxTask("Chain", TimeLimit(Chain(6), 2), 2), greedy, chain(6))
    assert np.all(found.lengths == 2) and np.all(found.returns == 0)
    hidden = (1 - DISCOUNT**2) * OFFSET
    assert np.allclose(surplus, [[0.0] * 12, [hidden] * 12], atol=1e-6)


@pytest.mark.parametrize("name", ["own_environments:Line", "own_environments:Walk-v0"])
def test_the_cut_is_judged_by_the_last_state_on_either_side(name):
    """1 a step for 20 steps, after which the place is 20; Q(s, right) = c + place/10."""
    task = make_task(name, num_seeds=2, run_seed=0)
    slope = jnp.zeros((2, 2, 2)).at[:, 0, :].set(0.1)
    constant = jnp.array([3.0, 10.0])
    arrays = Linear(slope, jnp.stack([constant - 1, constant], axis=-1))
    found, surplus = gauge(task, greedy, arrays)
    earned, beyond = (1 - DISCOUNT**20) / (1 - DISCOUNT), DISCOUNT**20
    expected = constant - earned - beyond * (constant + 2)
    assert np.all(found.returns == 20)
    assert np.allclose(surplus, np.repeat(expected[:, None], 12, axis=1), atol=1e-5)


@pytest.mark.parametrize("backend", ["jax", "gymnasium"])
def test_poles_that_fall_do_not_bootstrap(backend):
    """The return is (1 − γ^L)/(1 − γ), and Q(s₀) = 5 + |lean| with a lean below 0.05."""
    task = make_task("CartPole-v1", num_seeds=1, run_seed=0, backend=backend)
    lean = jnp.zeros((1, 4, 2)).at[0, 2].set(jnp.array([-1.0, 1.0]))
    found, surplus = gauge(task, greedy, Linear(lean, jnp.full((1, 2), 5.0)))
    assert found.lengths.max() < 200 and found.lengths.std() > 0
    start = surplus + (1 - DISCOUNT**found.lengths) / (1 - DISCOUNT)
    assert np.all((start > 5) & (start < 5.05))


def test_exact_values_of_a_slippery_lake_have_a_mean_surplus_of_zero():
    """To four standard errors; most returns are 0 or γ^T, with V(s₀) between."""
    lake = problem("tabular:FrozenLake-v1", discount=0.95)
    with jax.enable_x64(True):
        values = jnp.asarray(solve(lake.mdp).values)
        q = np.asarray(centred_lookahead(lake.mdp, values, 0.95), np.float32)
    task = make_task("tabular:FrozenLake-v1", num_seeds=2, run_seed=0)
    arrays = Table(jnp.stack([q, q + OFFSET]))
    _, (exact, shifted) = gauge(task, greedy, arrays, episodes=3000, discount=0.95)
    error = exact.std() / np.sqrt(exact.size)
    assert 0 < error < 0.01 and abs(exact.mean()) < 4 * error
    assert OFFSET * 0.9 < shifted.mean() < OFFSET + 4 * error


def test_seen_through_normalisation():
    """Inside `Normalised`, Q̂ is that of the scaled observation."""
    nets = Architecture(
        gym.spaces.Box(-30.0, 30.0, (2,), np.float32), gym.spaces.Discrete(2), (4,), "tanh"
    )
    algorithm = Normalised(
        DQN(), observation_shape=(2,), num_envs=1, observations=True, rewards=False, discount=0.9
    )
    state = algorithm.init(nets.action_values(jr.key(0)))
    moments = state.observation.update(jnp.array([[3.0, 5.0], [1.0, -2.0]]))
    state = dataclasses.replace(state, observation=moments)
    task = make_task("own_environments:Line", num_seeds=1, run_seed=0)
    arrays, static = eqx.partition(state, eqx.is_array)
    policy_of = lambda arrays: algorithm.policy(eqx.combine(arrays, static))
    _, surplus = gauge(task, policy_of, jax.tree.map(lambda x: x[None], arrays), discount=0.0)
    scaled = jnp.clip(-moments.mean / jnp.sqrt(moments.variance + 1e-8), -10, 10)
    q = state.inner.critic.model(scaled)
    first_reward = float(jnp.argmax(q))
    assert np.allclose(surplus, float(q.max()) - first_reward, atol=1e-5)
