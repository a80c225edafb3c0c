import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import DISCRETE, networks, random_batch
from rewardtogo.algorithms.normalised import Normalised
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.algorithms.protocol import AbstractAlgorithm
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic
from rewardtogo.nn.policies import AbstractBehaviour, AbstractPolicy


TIME, ENVS, DISCOUNT = 5, 4, 0.9


class Echo(AbstractBehaviour):
    """Acts with what it sees."""

    def act(self, observation, memory, *, key):
        return observation, (), memory

    def initial_carry(self):
        return ()


class EchoPolicy(AbstractPolicy):
    def __call__(self, observation, memory):
        return observation, memory

    def initial_carry(self):
        return ()


class Recorder(AbstractAlgorithm):
    """Its state is the batch it was last given."""

    def init(self, models):
        return models

    def update(self, state: Any, batch: Any, *, key):
        return batch, {}

    def behaviour(self, state):
        return Echo()

    def policy(self, state):
        return EchoPolicy()


def wrapped(inner, **changes):
    settings = {"observations": True, "rewards": True, "discount": DISCOUNT, "dtype": jnp.float64}
    return Normalised(inner, observation_shape=(3,), num_envs=ENVS, **(settings | changes))


@pytest.fixture
def stream(x64):
    """Rollouts one after another; the first feature is far from 0 and wide."""
    scale, shift = jnp.array([[[50.0, 1.0, 0.1]]]), jnp.array([[[700.0, 0.0, -1.0]]])
    batches = [random_batch((TIME, ENVS), DISCRETE, seed=seed) for seed in range(4)]
    moved = lambda x: scale * x + shift
    return [
        dataclasses.replace(
            b, observation=moved(b.observation), next_observation=moved(b.next_observation)
        )
        for b in batches
    ]


def states_along(algorithm, stream, models=()):
    states = [algorithm.init(models)]
    update = jax.jit(lambda state, batch: algorithm.update(state, batch, key=jr.key(0))[0])
    for batch in stream:
        states.append(update(states[-1], batch))
    return states


def test_statistics_are_those_of_all_that_was_seen(stream):
    """NumPy's mean and population variance over every observation acted on."""
    state = states_along(wrapped(Recorder()), stream, stream[0])[-1]
    seen = np.concatenate([np.asarray(b.observation).reshape(-1, 3) for b in stream])
    assert np.allclose(state.observation.mean, seen.mean(axis=0), rtol=1e-12)
    assert np.allclose(state.observation.variance, seen.var(axis=0), rtol=1e-12)
    assert state.observation.count == len(seen)


def test_learning_sees_what_acting_saw(stream):
    """A batch is normalised by the statistics of the state it was gathered with."""
    algorithm = wrapped(Recorder(), clip=1.5)
    states = states_along(algorithm, stream, stream[0])
    for before, after, batch in zip(states[:-1], states[1:], stream, strict=True):
        for ours, given in (
            (after.inner.observation, batch.observation),
            (after.inner.next_observation, batch.next_observation),
        ):
            deviation = np.sqrt(np.asarray(before.observation.variance) + 1e-8)
            expected = np.clip(
                (np.asarray(given) - np.asarray(before.observation.mean)) / deviation, -1.5, 1.5
            )
            assert np.allclose(ours, expected, rtol=1e-10)
        acted, _, _ = algorithm.behaviour(before).act(batch.observation, (), key=jr.key(0))
        assert np.allclose(acted, after.inner.observation, rtol=1e-10)
        mode, _ = algorithm.policy(before)(batch.observation, ())
        assert np.allclose(mode, after.inner.observation, rtol=1e-10)
    assert np.any(np.abs(states[-1].inner.observation) == 1.5)


def scaled_by_vec_normalize(stream):
    """The variance after each rollout by the lines of Stable-Baselines3's `VecNormalize`:

    `returns = returns * gamma + reward; ret_rms.update(returns); returns[dones] = 0`, step by step
    over all environments, without its first 1e-4 of a sample.
    """
    returns, mean, variance, count, after = np.zeros(ENVS), 0.0, 1.0, 0.0, []
    for batch in stream:
        for reward, done in zip(np.asarray(batch.reward), np.asarray(batch.boundary), strict=True):
            returns = returns * DISCOUNT + reward
            delta, total = returns.mean() - mean, count + ENVS
            summed = variance * count + returns.var() * ENVS + delta**2 * count * ENVS / total
            mean, variance, count = mean + delta * ENVS / total, summed / total, total
            returns[done] = 0
        after.append(variance)
    return after


def test_rewards_are_scaled_as_in_stable_baselines(stream):
    """By the deviation of the discounted sum, which is carried from rollout to rollout."""
    variances = scaled_by_vec_normalize(stream)
    states = states_along(wrapped(Recorder(), clip=2.0), stream, stream[0])
    assert any(np.any(~np.asarray(b.boundary[-1])) for b in stream[:-1])
    for index, variance in enumerate(variances):
        assert np.allclose(states[index + 1].discounted.variance, variance, rtol=1e-12)
    for index, batch in enumerate(stream[1:]):
        expected = np.clip(batch.reward / np.sqrt(variances[index] + 1e-8), -2, 2)
        assert np.allclose(states[index + 2].inner.reward, expected, rtol=1e-10)
    assert np.array_equal(states[1].inner.terminated, stream[0].terminated)


@pytest.mark.parametrize("part", ["observations", "rewards"])
def test_each_part_can_be_left_out(stream, part):
    states = states_along(wrapped(Recorder(), **{part: False}), stream[:2], stream[0])
    same = np.array_equal(states[2].inner.observation, stream[1].observation)
    assert same == (part == "observations")
    assert np.array_equal(states[2].inner.reward, stream[1].reward) == (part == "rewards")


def test_with_nothing_to_normalise_the_algorithm_is_as_it_was(stream):
    """Parameters bit for bit, the same behaviour and the same policy."""
    nets, inner = networks(DISCRETE), PPO(num_epochs=1, num_minibatches=2)
    models = ActorCritic(nets.actor(jr.key(1), log_std=0.0), nets.state_value(jr.key(2)))
    batches = [
        dataclasses.replace(b, record=ActingRecord(jnp.full((TIME, ENVS), -1.4)))
        for b in stream[:2]
    ]
    algorithm = wrapped(inner, observations=False, rewards=False)
    ours = states_along(algorithm, batches, models)[-1]
    expected = states_along(inner, batches, models)[-1]
    for a, b in zip(jax.tree.leaves(ours.inner), jax.tree.leaves(expected), strict=True):
        assert np.array_equal(a, b)
    assert ours.observation.count == 0
    act = lambda behaviour: behaviour.act(batches[0].observation, (), key=jr.key(3))[0]
    assert np.array_equal(act(algorithm.behaviour(ours)), act(inner.behaviour(expected)))


def test_the_first_batch_is_seen_as_it_is(stream):
    """Before any data the statistics change nothing but what the clip does."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    state = states_along(wrapped(Recorder()), [batch], batch)[-1]
    assert np.allclose(state.inner.observation, batch.observation, rtol=1e-7)
    assert np.allclose(state.inner.reward, batch.reward, rtol=1e-7)


@pytest.mark.parametrize(("name", "value"), [("clip", 0.0), ("discount", 1.5)])
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must lie in .*; got {value}"):
        wrapped(Recorder(), **{name: value})
