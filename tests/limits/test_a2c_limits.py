"""What A2C becomes at the ends of its settings, and what becomes A2C."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import DISCRETE, networks, random_batch
from rewardtogo.algorithms.a2c import A2C, ReturnTarget
from rewardtogo.algorithms.ppo import PPO, AdvantageScale
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic


TIME, ENVS, DISCOUNT = 6, 4, 0.9


@pytest.fixture
def models(x64):
    nets = networks(DISCRETE)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=0.0))
    return ActorCritic(actor, nets.state_value(jr.key(2)))


def rollout(models, seed=0):
    """Within an episode, a successor is what is seen next."""
    batch = random_batch((TIME, ENVS), DISCRETE, seed=seed)
    log_prob = models.actor(batch.observation, ())[0].log_prob(batch.action)
    seen, after = batch.observation, batch.next_observation
    after = after.at[:-1].set(jnp.where(batch.boundary[:-1, :, None], after[:-1], seen[1:]))
    return dataclasses.replace(batch, next_observation=after, record=ActingRecord(log_prob))


def close(ours, theirs):
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in pairs)


@pytest.mark.parametrize("normalise", [False, True])
def test_ppo_of_one_epoch_and_one_minibatch_is_a2c(models, normalise):
    """At ratio 1 nothing is clipped; two rollouts, so the optimisers' states agree as well."""
    ppo = PPO(
        discount=DISCOUNT,
        trace_decay=0.7,
        num_epochs=1,
        num_minibatches=1,
        learning_rate=0.01,
        entropy_coef=0.3,
        value_coef=1.0,
        max_grad_norm=1e6,
        advantage_scale=AdvantageScale.BATCH if normalise else AdvantageScale.NONE,
    )
    a2c = A2C(
        discount=DISCOUNT,
        trace_decay=0.7,
        learning_rate=0.01,
        critic_learning_rate=0.01,
        entropy_coef=0.3,
        max_grad_norm=1e6,
        normalise_advantage=normalise,
    )
    theirs, ours = ppo.init(models), a2c.init(models)
    of_ppo = jax.jit(lambda state, batch: ppo.update(state, batch, key=jr.key(0))[0])
    of_a2c = jax.jit(lambda state, batch: a2c.update(state, batch, key=jr.key(0))[0])
    for seed in range(2):
        batch = rollout(theirs.trainable.model, seed)
        theirs, ours = of_ppo(theirs, batch), of_a2c(ours, batch)
        assert close(ours.actor.model, theirs.trainable.model.actor)
        assert close(ours.critic.model, theirs.trainable.model.critic)
    assert not close(ours.actor.model, models.actor)


@pytest.mark.parametrize(
    ("limit", "same"),
    [
        (A2C(trace_decay=1.0), A2C(target=ReturnTarget.MONTE_CARLO)),
        (A2C(trace_decay=0.0), A2C(target=ReturnTarget.ONE_STEP)),
        (A2C(target=ReturnTarget.N_STEP, n=1), A2C(target=ReturnTarget.ONE_STEP)),
        (A2C(target=ReturnTarget.N_STEP, n=TIME), A2C(target=ReturnTarget.MONTE_CARLO)),
    ],
    ids=["λ=1", "λ=0", "n=1", "n=time"],
)
def test_targets_meet_at_their_ends(models, limit, same):
    batch = rollout(models)
    assert close(limit.targets(models.critic, batch), same.targets(models.critic, batch))


@pytest.mark.parametrize("target", ReturnTarget, ids=lambda target: target.value)
def test_without_a_future_targets_are_rewards(models, target):
    batch = rollout(models)
    ours = A2C(discount=0.0, target=target).targets(models.critic, batch)
    assert close(ours, batch.reward)
