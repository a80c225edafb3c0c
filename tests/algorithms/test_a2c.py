import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.a2c import A2C, ReturnTarget
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.optim.step_rule import StepRule


TIME, ENVS, DISCOUNT = 6, 4, 0.9


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def problem(request, x64):
    """Models, and a rollout."""
    nets = networks(request.param)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=-0.02))
    models = ActorCritic(actor, nets.state_value(jr.key(2)))
    return models, random_batch((TIME, ENVS), request.param)


def log_prob_by_hand(actor, batch):
    """Softmax and normal densities, written out."""
    head = actor(batch.observation, ())[0]
    if batch.action.dtype == jnp.int32:
        chances = jnp.exp(head.logits) / jnp.sum(jnp.exp(head.logits), axis=-1, keepdims=True)
        return jnp.log(jnp.take_along_axis(chances, batch.action[..., None], axis=-1)[..., 0])
    deviation = jnp.exp(head.log_std)
    density = jnp.exp(-(((batch.action - head.mean) / deviation) ** 2) / 2)
    return jnp.log(density / (deviation * jnp.sqrt(2 * jnp.pi))).sum(-1)


def entropy_by_hand(actor, batch):
    head = actor(batch.observation, ())[0]
    if batch.action.dtype == jnp.int32:
        chances = jax.nn.softmax(head.logits)
        return -(chances * jnp.log(chances)).sum(-1)
    return (head.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum(-1)


def targets_by_hand(critic, batch, reach):
    """Σ_n w_n G^(n) over the n rewards that are there, `reach(rows)` being the weights w."""
    after, batch = np.asarray(critic(batch.next_observation)), jax.tree.map(np.asarray, batch)
    out = np.zeros((TIME, ENVS))
    for start, env in np.ndindex(TIME, ENVS):
        returns, total = [], 0.0
        for t in range(start, TIME):
            total += DISCOUNT ** (t - start) * batch.reward[t, env]
            bootstrap = 0.0 if batch.terminated[t, env] else after[t, env]
            returns.append(total + DISCOUNT ** (t - start + 1) * bootstrap)
            if batch.terminated[t, env] or batch.truncated[t, env]:
                break
        out[start, env] = np.dot(reach(len(returns)), returns)
    return out


def only(n, rows):
    return np.arange(1, rows + 1) == min(n, rows)


def mixed(decay, rows):
    weights = (1 - decay) * decay ** np.arange(rows)
    weights[-1] = decay ** (rows - 1)
    return weights


REACHES = {
    ReturnTarget.MONTE_CARLO: lambda rows: only(TIME, rows),
    ReturnTarget.ONE_STEP: lambda rows: only(1, rows),
    ReturnTarget.N_STEP: lambda rows: only(3, rows),
    ReturnTarget.LAMBDA: lambda rows: mixed(0.7, rows),
}


@pytest.mark.parametrize("target", ReturnTarget, ids=lambda target: target.value)
def test_targets_follow_the_definition(problem, target):
    """A truncated step bootstraps from its own successor, a terminated one from nothing."""
    models, batch = problem
    algorithm = A2C(discount=DISCOUNT, target=target, n=3, trace_decay=0.7)
    expected = targets_by_hand(models.critic, batch, REACHES[target])
    assert np.allclose(algorithm.targets(models.critic, batch), expected, rtol=1e-12, atol=1e-12)


FIRST_STEPS = {
    StepRule.SGD: lambda g: g,
    StepRule.ADAM: lambda g: g / (jnp.abs(g) + 1e-5),
    StepRule.RMSPROP: lambda g: g / jnp.sqrt(0.01 * g**2 + 1e-5),
}


@pytest.mark.parametrize("rule", StepRule, ids=lambda rule: rule.value)
def test_an_update_is_a_step_on_both_gradients(problem, rule):
    """By hand, each network with its own norm and its own learning rate."""
    models, batch = problem
    algorithm = A2C(
        discount=DISCOUNT,
        trace_decay=0.7,
        learning_rate=0.01,
        critic_learning_rate=0.03,
        step_rule=rule,
        entropy_coef=0.3,
        max_grad_norm=0.05,
    )
    target = targets_by_hand(models.critic, batch, REACHES[ReturnTarget.LAMBDA])
    advantage = target - models.critic(batch.observation)

    def actor_objective(actor):
        gain = jnp.mean(advantage * log_prob_by_hand(actor, batch))
        return -gain - 0.3 * jnp.mean(entropy_by_hand(actor, batch))

    def critic_objective(critic):
        return jnp.mean((critic(batch.observation) - target) ** 2) / 2

    update = jax.jit(lambda models: algorithm.update(algorithm.init(models), batch, key=jr.key(0)))
    state, metrics = update(models)
    for objective, before, after, rate in (
        (actor_objective, models.actor, state.actor.model, 0.01),
        (critic_objective, models.critic, state.critic.model, 0.03),
    ):
        gradient = jax.jit(jax.grad(objective))(before)
        norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient)))
        assert norm > 0.05
        rows = zip(*map(jax.tree.leaves, (before, after, gradient)), strict=True)
        for old, new, g in rows:
            expected = old - rate * FIRST_STEPS[rule](g * 0.05 / norm)
            assert np.allclose(new, expected, rtol=1e-9, atol=1e-12)
    assert np.isclose(metrics["train/loss"], actor_objective(models.actor))
    assert np.isclose(metrics["train/value_loss"], critic_objective(models.critic))
    explained = 1 - np.var(advantage) / np.var(target)
    assert np.isclose(metrics["train/explained_variance"], explained)
    entropy = jnp.mean(entropy_by_hand(models.actor, batch))
    assert np.isclose(metrics["train/entropy_loss"], -entropy)
    assert np.isclose(metrics["train/policy_gradient_loss"], metrics["train/loss"] + 0.3 * entropy)


def test_advantages_are_standardised_if_asked_for(problem):
    models, batch = problem
    advantage = jnp.asarray(np.random.default_rng(3).normal(2, 5, (TIME, ENVS)))
    standard = (advantage - np.mean(advantage)) / np.std(advantage)
    loss = lambda algorithm, a: algorithm.actor_loss(models.actor, batch, a)[0]
    asked = A2C(normalise_advantage=True)
    assert np.isclose(loss(asked, advantage), loss(A2C(), standard), rtol=1e-6)
    assert not np.isclose(loss(A2C(), advantage), loss(A2C(), standard))


def test_learning_rates_fall_to_nothing(problem):
    models, batch = problem
    algorithm = A2C(anneal_updates=2)
    state = algorithm.init(models)
    update = jax.jit(lambda state: algorithm.update(state, batch, key=jr.key(0))[0])
    states = [state := update(state) for _ in range(3)]
    second, third = (jax.tree.leaves((s.actor.model, s.critic.model)) for s in states[1:])
    assert all(np.array_equal(x, y) for x, y in zip(second, third, strict=True))
    first = jax.tree.leaves((states[0].actor.model, states[0].critic.model))
    assert not any(np.array_equal(x, y) for x, y in zip(first, second, strict=True))


def test_what_lies_beyond_a_terminal_state_is_never_read(problem):
    models, batch = problem
    beyond = jnp.where(batch.terminated[..., None], 1e3, batch.next_observation)
    changed = dataclasses.replace(batch, next_observation=beyond)
    ours, same = (A2C().targets(models.critic, rollout) for rollout in (batch, changed))
    assert np.array_equal(ours, same)


OUT_OF_RANGE = [
    ("discount", 1.01, r"`discount` must lie in \[0, 1\]; got 1.01"),
    ("trace_decay", -0.1, r"`trace_decay` must lie in \[0, 1\]; got -0.1"),
    ("n", 0, r"`n` must be a whole number, at least 1; got 0"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("critic_learning_rate", -1.0, r"`critic_learning_rate` must lie in \(0, inf\); got -1.0"),
    ("entropy_coef", -0.1, r"`entropy_coef` must lie in \[0, inf\); got -0.1"),
    ("max_grad_norm", 0.0, r"`max_grad_norm` must lie in \(0, inf\); got 0.0"),
    ("anneal_updates", -1, r"`anneal_updates` must be a whole number, at least 0; got -1"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        A2C(**{name: value})
