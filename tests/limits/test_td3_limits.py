"""TD3 without its three repairs is DDPG."""

import dataclasses

import jax
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, networks, random_batch
from rewardtogo.algorithms.ddpg import DDPG
from rewardtogo.algorithms.deterministic import DeterministicActorCritic
from rewardtogo.algorithms.td3 import TD3
from rewardtogo.nn.deterministic import ActionValue, deterministic_actor


UPDATES = 8
SHARED = {"discount": 0.9, "learning_rate": 0.01, "polyak_rate": 0.2}
BARE = TD3(target_noise=0.0, policy_delay=1, **SHARED)


@pytest.fixture
def models(x64):
    """The same actor with one critic, and with that critic twice: their minimum is the one."""
    nets = networks(CONTINUOUS)
    actor, twins = deterministic_actor(nets, jr.key(1)), nets.twin_values(jr.key(2))
    one = twins.values[0]
    twice = dataclasses.replace(twins, values=(one, one))
    return (
        DeterministicActorCritic(actor, ActionValue(twins.encoder, one)),
        DeterministicActorCritic(actor, twice),
    )


def run(algorithm, models):
    """The state and metrics after a few updates, each on a batch of its own."""
    update = jax.jit(lambda state, batch, key: algorithm.update(state, batch, key=key))
    state, metrics = algorithm.init(models), {}
    for number in range(UPDATES):
        batch = random_batch((10,), CONTINUOUS, seed=number)
        state, metrics = update(state, batch, jr.key(number))
    return state, metrics


def distance(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def test_td3_without_repairs_is_ddpg(models):
    """One critic twice, no smoothing, no delay: the same actors, critics and slow copies."""
    single, twice = models
    ddpg, theirs = run(DDPG(**SHARED), single)
    td3, ours = run(BARE, twice)
    assert distance(td3.networks.actor, ddpg.actor) < 1e-12
    for mine, other in (
        (td3.networks.critic.model, ddpg.critic.model),
        (td3.networks.target.critic, ddpg.target.critic),
    ):
        assert distance(mine.values[0], other.value) < 1e-12
        assert distance(mine.values[1], other.value) < 1e-12
    assert distance(td3.networks.target.actor, ddpg.target.actor) < 1e-12
    assert np.allclose(ours["train/actor_loss"], theirs["train/actor_loss"], rtol=1e-12)
    assert np.allclose(ours["train/critic_loss"], 2 * theirs["train/critic_loss"], rtol=1e-12)


@pytest.mark.parametrize("repair", [{"target_noise": 0.2}, {"policy_delay": 2}])
def test_each_repair_parts_them(models, repair):
    single, twice = models
    ddpg, _ = run(DDPG(**SHARED), single)
    td3, _ = run(dataclasses.replace(BARE, **repair), twice)
    assert distance(td3.networks.actor.model, ddpg.actor.model) > 1e-4


def test_without_a_future_targets_are_rewards(models):
    single, twice = models
    batch = random_batch((20,), CONTINUOUS)
    ddpg, td3 = DDPG(discount=0.0), TD3(discount=0.0)
    assert np.array_equal(ddpg.targets(ddpg.init(single), batch), batch.reward)
    networks = td3.init(twice).networks
    assert np.array_equal(td3.targets(networks, batch, key=jr.key(0)), batch.reward)
