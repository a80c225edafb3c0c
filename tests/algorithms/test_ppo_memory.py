"""PPO with a model that remembers: a decaying sum of what was observed, and a count of steps."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jaxtyping import Array, Float

from rewardtogo.algorithms.minibatches import shuffled_sequences
from rewardtogo.algorithms.ppo import PPO, AdvantageScale, recall
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.wrappers import TimeLimit
from rewardtogo.nn.actor_critic import SteppedActorCritic
from rewardtogo.nn.distributions import Categorical
from rewardtogo.recipes import PPORecipe
from rewardtogo.sources.collectors.rollout import Rollout


TIME, ENVS, LIMIT = 24, 3, 10


class Summing(SteppedActorCritic):
    """Every number depends on all that was observed in the episode, and on how long ago."""

    decay: Float[Array, ""]
    weight: Float[Array, "observation actions"]
    value: Float[Array, " observation"]

    def __call__(self, observation, carry):
        total, count = carry
        total, count = self.decay * total + observation, count + 1
        weight = jnp.expand_dims(self.weight, range(observation.ndim - 1))
        logits = jnp.sum(total[..., None] * weight, axis=-2) + 0.1 * count[..., None]
        logits = logits.at[..., 0].multiply(2)
        value = jnp.expand_dims(self.value, range(observation.ndim - 1))
        return Categorical(logits), jnp.sum(total * value, axis=-1) + 0.2 * count, (total, count)

    def initial_carry(self):
        return jnp.full(4, 0.01), jnp.zeros(())


@pytest.fixture
def gathered(x64):
    """A model, and the second rollout, which begins in the middle of episodes."""
    weight, value = jr.normal(jr.key(1), (4, 2)), jr.normal(jr.key(2), (4,))
    model = Summing(jnp.array(0.8), weight, value)
    algorithm = PPO()
    behaviour = algorithm.behaviour(algorithm.init(model))
    source = Rollout(TimeLimit(CartPole(dtype="float64"), LIMIT), ENVS, TIME)
    state = source.init(behaviour, key=jr.key(3))
    gather = jax.jit(lambda state, key: source.gather(state, behaviour, key=key))
    state, _ = gather(state, jr.key(4))
    _, rollout = gather(state, jr.key(5))
    assert rollout.terminated.any() and rollout.truncated.any()
    assert (rollout.record.carry[1][0] > 0).any()
    return model, rollout


@pytest.mark.parametrize("length", [None, 4])
def test_what_was_done_is_recalled_exactly(gathered, length):
    """Nothing moves at a rate of 1e-30: every ratio is 1, up to its last bit."""
    model, rollout = gathered
    algorithm = PPO(learning_rate=1e-30, num_epochs=1, num_minibatches=3, sequence_length=length)
    update = jax.jit(lambda m: algorithm.update(algorithm.init(m), rollout, key=jr.key(0)))
    state, metrics = update(model)
    assert state.trainable.model.decay == model.decay
    assert abs(metrics["train/approx_kl"]) < 1e-30 and metrics["train/clip_fraction"] == 0


@pytest.mark.parametrize("length", [24, 4])
def test_minibatches_are_sequences_from_their_own_memories(gathered, length):
    model, rollout = gathered
    sample = PPO().score(model, rollout)
    rows = shuffled_sequences(
        jr.key(0), time=TIME, envs=ENVS, length=length, num_epochs=1, num_minibatches=3
    )[0]
    minibatch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[rows], sample)
    distribution, value = jax.jit(recall)(model, minibatch)
    assert distribution.logits.shape == (length, TIME * ENVS // 3 // length, 2)
    log_prob = distribution.log_prob(minibatch.action)
    assert np.allclose(log_prob, minibatch.old_log_prob, rtol=1e-14, atol=1e-15)
    assert np.allclose(value, minibatch.old_value, rtol=1e-14)


def by_hand(model, rollout, decay):
    """Logits, values and successors' values, step by step."""
    carry = jax.tree.map(lambda x: x[0], rollout.record.carry)
    rows = []
    for time in range(TIME):
        total, count = decay * carry[0] + rollout.observation[time], carry[1] + 1
        logits = total @ model.weight + 0.1 * count[:, None]
        logits = jnp.stack([2 * logits[:, 0], logits[:, 1]], axis=-1)
        value = total @ model.value + 0.2 * count
        after = decay * total + rollout.next_observation[time]
        next_value = after @ model.value + 0.2 * (count + 1)
        rows.append((logits, value, next_value))
        ended = rollout.terminated[time] | rollout.truncated[time]
        carry = jnp.where(ended[:, None], 0.01, total), jnp.where(ended, 0, count)
    return jax.tree.map(lambda *xs: jnp.stack(xs), *rows)


def test_the_successor_of_a_truncated_step_is_judged_with_its_own_memory(gathered):
    model, rollout = gathered
    sample = PPO(discount=0.9, trace_decay=0.0).score(model, rollout)
    _, value, next_value = by_hand(model, rollout, 0.8)
    assert np.allclose(sample.old_value, value, rtol=1e-12)
    target = rollout.reward + 0.9 * np.where(rollout.terminated, 0, next_value)
    assert np.allclose(sample.value_target, target, rtol=1e-12)


def test_the_gradient_goes_back_through_the_sequence(gathered):
    """Of how fast it forgets, against a loop over the steps that restarts at every border."""
    model, rollout = gathered
    algorithm = PPO(value_coef=0.0, advantage_scale=AdvantageScale.NONE)
    sample = algorithm.score(model, rollout)

    def loss(decay):
        log_probs = jax.nn.log_softmax(by_hand(model, rollout, decay)[0])
        log_prob = jnp.take_along_axis(log_probs, rollout.action[..., None], axis=-1)[..., 0]
        return -jnp.mean(sample.advantage * log_prob)

    ours = jax.jit(jax.grad(lambda m: algorithm.loss(m, sample, 0.0)[0]))(model).decay
    assert abs(ours) > 1e-3
    assert np.allclose(ours, jax.jit(jax.grad(loss))(0.8), rtol=1e-10)


def test_a_rollout_must_hold_whole_sequences(gathered):
    model, rollout = gathered
    algorithm = PPO(sequence_length=7)
    with pytest.raises(ValueError, match=r"`sequence_length` \(7\) must divide the 24 steps"):
        algorithm.update(algorithm.init(model), rollout, key=jr.key(0))


MODEL = Summing(jnp.array(1.0), jnp.ones((4, 2)), jnp.ones(4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sequence_length": 48}, r"`sequence_length` \(48\) must divide `num_steps` \(128\)"),
        ({"num_minibatches": 6}, r"`num_minibatches` \(6\) must divide the sequences .*= 8"),
        ({"sequence_length": 32, "num_minibatches": 5}, r"\(5\) must divide .*= 32"),
    ],
)
def test_a_recipe_refuses_sequences_that_do_not_fit(change: dict[str, Any], words):
    with pytest.raises(ValueError, match=words):
        PPORecipe(algorithm=PPO(**change)).check_sequences(MODEL)


def test_a_recipe_takes_sequences_that_fit():
    algorithm = PPO(sequence_length=16, num_minibatches=32)
    PPORecipe(algorithm=algorithm).check_sequences(MODEL)
    whole = dataclasses.replace(algorithm, sequence_length=None, num_minibatches=8)
    PPORecipe(algorithm=whole).check_sequences(MODEL)
