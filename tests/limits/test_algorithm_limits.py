"""What an algorithm becomes where a setting takes an end of its range."""

import dataclasses

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from rewardtogo.algorithms.dqn import DQN
from rewardtogo.algorithms.ppo import PPO, AdvantageScale
from rewardtogo.algorithms.reinforce import REINFORCE, Baseline
from rewardtogo.algorithms.sac import SAC, ActorTwinCritic
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.types import EpisodeBatch


TIME, ENVS, DISCOUNT = 6, 4, 0.9


@pytest.fixture
def models(x64):
    nets = networks(DISCRETE)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=0.0))
    return ActorCritic(actor, nets.state_value(jr.key(2)))


def rollout(models):
    """Within an episode, a successor is what is seen next."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    log_prob = models.actor(batch.observation, ())[0].log_prob(batch.action)
    seen, after = batch.observation, batch.next_observation
    after = after.at[:-1].set(jnp.where(batch.boundary[:-1, :, None], after[:-1], seen[1:]))
    return dataclasses.replace(batch, next_observation=after, record=ActingRecord(log_prob))


def test_ppo_without_trace_fits_one_step_targets(models):
    """λ = 0: r + γ V(s'), row by row."""
    batch = rollout(models)
    target = PPO(discount=DISCOUNT, trace_decay=0.0).score(models, batch).value_target
    after = np.where(batch.terminated, 0, models.critic(batch.next_observation))
    assert np.allclose(target, batch.reward + DISCOUNT * after, rtol=1e-12)


def test_ppo_with_full_trace_fits_monte_carlo_returns(models):
    """λ = 1: discounted rewards to the border, and the value there unless it is terminal."""
    batch = rollout(models)
    target = PPO(discount=DISCOUNT, trace_decay=1.0).score(models, batch).value_target
    after = np.asarray(models.critic(batch.next_observation))
    total = np.zeros(ENVS)
    for t in reversed(range(TIME)):
        ends = np.asarray(batch.boundary[t]) | (t == TIME - 1)
        at_border = np.where(batch.terminated[t], 0, after[t])
        total = batch.reward[t] + DISCOUNT * np.where(ends, at_border, total)
        assert np.allclose(target[t], total, rtol=1e-12)


def test_ppo_with_a_wide_clip_is_the_importance_weighted_gradient(models):
    batch = rollout(models)
    algorithm = PPO(clip=1e6, advantage_scale=AdvantageScale.NONE, value_coef=0.0)
    sample = algorithm.score(models, batch)
    moved = jax.tree.map(lambda x: 0.7 * x, models)

    def weighted(models):
        log_prob = models.actor(batch.observation, ())[0].log_prob(batch.action)
        return -jnp.mean(jnp.exp(log_prob - batch.record.log_prob) * sample.advantage)

    ours = jax.grad(lambda m: algorithm.loss(m, sample, 0.0)[0])(moved).actor
    expected = jax.grad(weighted)(moved).actor
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert np.allclose(a, b, rtol=1e-10, atol=1e-15)


def test_ppo_with_monte_carlo_and_no_critic_is_reinforce(models):
    """Whole episodes of one length: the same gradient, but for the mean over their steps."""
    blind = dataclasses.replace(models, critic=jax.tree.map(jnp.zeros_like, models.critic))
    batch = rollout(models)
    last = jnp.broadcast_to(jnp.arange(TIME)[:, None] == TIME - 1, (TIME, ENVS))
    batch = dataclasses.replace(batch, terminated=last, truncated=~last & last)
    ppo = PPO(
        discount=DISCOUNT, trace_decay=1.0, advantage_scale=AdvantageScale.NONE, value_coef=0.0
    )
    sample = ppo.score(blind, batch)
    ours = jax.grad(lambda m: ppo.loss(m, sample, 0.0)[0])(blind).actor

    reinforce = REINFORCE(discount=DISCOUNT, baseline=Baseline.NONE)
    episodes = EpisodeBatch(dataclasses.replace(batch, record=()), jnp.ones((TIME, ENVS), bool))
    weight = reinforce.weights(reinforce.init(models.actor), episodes)
    theirs = jax.grad(lambda p: reinforce.loss(p, episodes, weight)[0])(models.actor)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.allclose(TIME * a, b, rtol=1e-10, atol=1e-15)


def test_reinforce_without_discount_needs_no_power_of_gamma(models):
    batch = rollout(models)
    episodes = EpisodeBatch(batch, jnp.ones((TIME, ENVS), bool))
    plain, scored = (REINFORCE(discount=1.0, discount_scores=choice) for choice in (False, True))
    ours, same = (a.weights(a.init(models.actor), episodes) for a in (plain, scored))
    assert np.array_equal(ours, same)


@pytest.fixture
def trainable(x64):
    return DQN(discount=DISCOUNT), networks(DISCRETE).action_values(jr.key(1))


def test_double_dqn_with_equal_networks_is_dqn(trainable):
    algorithm, critic = trainable
    state, batch = algorithm.init(critic), random_batch((20,), DISCRETE)
    double = dataclasses.replace(algorithm, double=True)
    assert np.array_equal(double.targets(state, batch), algorithm.targets(state, batch))


def test_dqn_of_one_action_is_value_estimation(x64):
    """With nothing to choose, double or not, the target is r + γ Q⁻(s')."""
    nets = networks(gym.spaces.Discrete(1))
    algorithm = DQN(discount=DISCOUNT, double=True)
    state, batch = algorithm.init(nets.action_values(jr.key(1))), random_batch((20,), DISCRETE)
    after = np.where(batch.terminated, 0, state.target(batch.next_observation)[:, 0])
    assert np.allclose(algorithm.targets(state, batch), batch.reward + DISCOUNT * after)


def test_without_a_future_targets_are_rewards(trainable):
    """γ = 0, for both off-policy algorithms."""
    _, critic = trainable
    batch = random_batch((20,), DISCRETE)
    algorithm = DQN(discount=0.0)
    assert np.array_equal(algorithm.targets(algorithm.init(critic), batch), batch.reward)
    nets, batch = networks(CONTINUOUS), random_batch((20,), CONTINUOUS)
    models = ActorTwinCritic(nets.squashed_actor(jr.key(1)), nets.twin_values(jr.key(2)))
    sac = SAC(discount=0.0)
    ours = sac.targets(sac.init(models), batch, jnp.array(1.0), key=jr.key(0))
    assert np.array_equal(ours, batch.reward)


def test_sac_without_temperature_is_twin_q_learning(x64):
    """τ = 0: no entropy in the target, only the lesser critic at the policy's action."""
    nets, batch = networks(CONTINUOUS), random_batch((20,), CONTINUOUS)
    models = ActorTwinCritic(nets.squashed_actor(jr.key(1)), nets.twin_values(jr.key(2)))
    sac = SAC(discount=DISCOUNT)
    ours = sac.targets(sac.init(models), batch, jnp.array(0.0), key=jr.key(3))
    action = models.actor(batch.next_observation, ())[0].sample(jr.key(3))
    q = models.critic(batch.next_observation, action).min(axis=0)
    expected = batch.reward + DISCOUNT * np.where(batch.terminated, 0, q)
    assert np.allclose(ours, expected, rtol=1e-12)


def discrete_sac_targets(actions, temperature, *, sharpen=1.0):
    nets, batch = networks(actions), random_batch((20,), DISCRETE)
    head = nets.action_values(jr.key(1))
    logits = jax.tree.map(lambda x: sharpen * x, head.values)
    actor = CategoricalPolicy(head.encoder, logits)
    models = CategoricalTwinCritic(actor, nets.twin_action_values(jr.key(2)))
    algorithm = DiscreteSAC(discount=DISCOUNT)
    ours = algorithm.targets(algorithm.init(models), batch, jnp.array(temperature))
    q = np.asarray(models.critic(batch.next_observation)).min(axis=0)
    return batch, models, q, ours


def test_discrete_sac_of_one_action_is_twin_value_estimation(x64):
    """Nothing to choose, so no entropy at any temperature."""
    batch, _, q, ours = discrete_sac_targets(gym.spaces.Discrete(1), 5.0)
    expected = batch.reward + DISCOUNT * np.where(batch.terminated, 0, q[:, 0])
    assert np.allclose(ours, expected, rtol=1e-12)


def test_discrete_sac_without_chance_is_twin_q_learning(x64):
    """A policy that is all but certain: the lesser value of its action, at any temperature."""
    batch, models, q, ours = discrete_sac_targets(DISCRETE, 5.0, sharpen=1e4)
    chosen = models.actor(batch.next_observation, ())[0].mode()
    value = np.take_along_axis(q, np.asarray(chosen)[:, None], axis=1)[:, 0]
    expected = batch.reward + DISCOUNT * np.where(batch.terminated, 0, value)
    assert np.allclose(ours, expected, rtol=1e-9)
