"""What the off-policy policy gradient and the one-step actor–critic are at the ends of theirs."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.a2c import A2C, ReturnTarget
from rewardtogo.algorithms.actor_critic import OneStepActorCritic
from rewardtogo.algorithms.off_policy_pg import ImportanceWeights, OffPolicyPG
from rewardtogo.algorithms.reinforce import REINFORCE
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.optim.step_rule import StepRule
from rewardtogo.types import EpisodeBatch


def close(ours, theirs):
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return all(np.allclose(a, b, rtol=1e-10, atol=1e-14) for a, b in pairs)


def scaled(actor):
    """The last layer begins close to zero."""
    return jax.tree.map(lambda x: 10 * x, actor)


@pytest.mark.parametrize("actions", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_one_step_on_a_batch_is_reinforce_whatever_the_weights(actions, x64):
    """All ratios are 1 where the policy is still the one that acted."""
    policy = scaled(networks(actions).actor(jr.key(1), log_std=-0.1))
    steps = random_batch((6, 5), actions)
    record = policy(steps.observation, ())[0].log_prob(steps.action)
    steps = random_batch((6, 5), actions, record=record)
    mask = jnp.cumsum(steps.boundary, axis=0) - steps.boundary == 0
    batch = EpisodeBatch(steps, mask)
    shared = {"discount": 0.9, "learning_rate": 0.01, "discount_scores": True, "entropy_coef": 0.1}

    reinforce = REINFORCE(**shared)
    expected = reinforce.weights(reinforce.init(policy), batch)
    for weights in ImportanceWeights:
        ours = OffPolicyPG(weights=weights, **shared).score_weights(jnp.zeros((6, 5)), batch)
        assert np.allclose(ours, expected, rtol=1e-12, atol=1e-14), weights
    after = []
    for algorithm in (reinforce, OffPolicyPG(num_epochs=1, **shared)):
        update = jax.jit(lambda s, a=algorithm: a.update(s, batch, key=jr.key(0))[0])
        after.append(update(algorithm.init(policy)).trainable.model)
    assert close(*after) and not close(after[0], policy)


@pytest.mark.parametrize("rule", StepRule, ids=lambda rule: rule.value)
def test_without_powers_the_one_step_actor_critic_is_a2c_on_single_steps(rule, x64):
    """With one-step targets, and no limit on the gradient's norm."""
    nets = networks(DISCRETE)
    models = ActorCritic(scaled(nets.actor(jr.key(1), log_std=0.0)), nets.state_value(jr.key(2)))
    batch = random_batch((1, 4), DISCRETE, record=jnp.ones((1, 4)))
    shared = {
        "discount": 0.9,
        "learning_rate": 0.01,
        "critic_learning_rate": 0.02,
        "step_rule": rule,
        "entropy_coef": 0.1,
    }
    a2c = A2C(target=ReturnTarget.ONE_STEP, max_grad_norm=1e9, **shared)
    ours = OneStepActorCritic(discount_scores=False, **shared)
    after = []
    for algorithm in (ours, a2c):
        update = jax.jit(lambda s, a=algorithm: a.update(s, batch, key=jr.key(0))[0])
        state = update(update(algorithm.init(models)))
        after.append((state.actor.model, state.critic.model))
    assert close(*after)
    assert not close(after[0], (models.actor, models.critic))
