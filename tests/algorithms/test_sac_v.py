import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import CONTINUOUS, networks, random_batch
from rewardtogo.algorithms.sac_v import SACV, ActorTwinCriticValue


BATCH, KEY = 10, jr.key(7)


@pytest.fixture(scope="module")
def x64():
    """For the whole module, whose tests share one compiled update."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def updated(x64):
    """A state whose slow value is not the value, a batch, and what an update makes of them."""
    nets, (one, two, three, four) = networks(CONTINUOUS), jr.split(jr.key(1), 4)
    models = ActorTwinCriticValue(
        nets.squashed_actor(one), nets.twin_values(two), nets.state_value(three)
    )
    algorithm = SACV(discount=0.9, temperature=0.3, learning_rate=0.01, polyak_rate=0.2)
    state = dataclasses.replace(algorithm.init(models), target_value=nets.state_value(four))
    batch = random_batch((BATCH,), CONTINUOUS)
    update = jax.jit(lambda state: algorithm.update(state, batch, key=KEY))
    return (algorithm, state, batch), update(state)


def acted(actor, observation):
    """tanh of a normal draw, and its log-density by the change of variables."""
    head = actor(observation, ())[0]
    noise = jr.normal(KEY, head.mean.shape, jnp.float64)
    inner = head.mean + jnp.exp(head.log_std) * noise
    normal = -(noise**2) / 2 - head.log_std - jnp.log(2 * jnp.pi) / 2
    action = jnp.tanh(inner)
    return action, (normal - jnp.log(1 - action**2)).sum(-1)


def test_targets_by_hand(updated):
    """The slow value of the successor, unless the process ended there; cut is not ended."""
    (algorithm, state, batch), _ = updated
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    after = np.asarray(state.target_value(batch.next_observation))
    expected = [
        batch.reward[i] + (0 if batch.terminated[i] else 0.9 * after[i]) for i in range(BATCH)
    ]
    assert np.allclose(algorithm.targets(state, batch), expected, rtol=1e-12)


def gradient_from(trainable):
    """Adam's first moment after one step is (1 − 0.9) times the gradient."""
    return jax.tree.leaves(
        jax.tree.map(lambda m: m / 0.1, optax.tree.get(trainable.opt_state, "mu"))
    )


def assert_gradient(trainable, objective, model):
    expected = jax.tree.leaves(jax.jit(jax.grad(objective))(model))
    assert any(np.abs(e).max() > 1e-3 for e in expected)
    for ours, e in zip(gradient_from(trainable), expected, strict=True):
        assert np.allclose(ours, e, rtol=1e-8, atol=1e-12)


def test_critics_step_on_the_squared_error_of_both(updated):
    (algorithm, state, batch), (after, metrics) = updated
    target = algorithm.targets(state, batch)

    def objective(critic):
        one, two = critic(batch.observation, batch.action)
        return jnp.mean((one - target) ** 2 / 2) + jnp.mean((two - target) ** 2 / 2)

    assert_gradient(after.critic, objective, state.critic.model)
    assert np.allclose(metrics["train/critic_loss"], objective(state.critic.model))
    q = state.critic.model(batch.observation, batch.action)
    assert np.allclose(metrics["train/q_value"], q.mean())


def test_the_value_steps_towards_the_soft_value_of_fresh_actions(updated):
    """∇V (V − min Q(s, ã) + τ log π(ã|s)): a step of Adam has moved, and by that gradient."""
    (_, state, batch), (after, metrics) = updated
    action, log_prob = acted(state.actor.model, batch.observation)
    soft_value = state.critic.model(batch.observation, action).min(0) - 0.3 * log_prob
    value = state.value.model
    error = value(batch.observation) - soft_value
    _, pull_back = jax.vjp(lambda value: value(batch.observation), value)
    expected = jax.tree.leaves(pull_back(error / BATCH))
    for ours, e in zip(gradient_from(after.value), expected, strict=True):
        assert np.allclose(ours, e, rtol=1e-8, atol=1e-12)
    assert np.allclose(metrics["train/value_loss"], jnp.mean(error**2) / 2)
    assert not np.allclose(value(batch.observation), after.value.model(batch.observation))


def test_the_actor_steps_along_the_path_of_its_actions(updated):
    """E[τ log π(ã|s) − min Q(s, ã)], judged by the critics before the update."""
    (_, state, batch), (after, metrics) = updated

    def objective(actor):
        action, log_prob = acted(actor, batch.observation)
        one, two = state.critic.model(batch.observation, action)
        return jnp.mean(0.3 * log_prob - jnp.minimum(one, two))

    assert_gradient(after.actor, objective, state.actor.model)
    assert np.allclose(metrics["train/actor_loss"], objective(state.actor.model))
    log_prob = acted(state.actor.model, batch.observation)[1]
    assert np.allclose(metrics["train/entropy"], -log_prob.mean())


def test_the_slow_value_follows_the_new_one(updated):
    (_, state, _), (after, _) = updated
    leaves = map(jax.tree.leaves, (state.target_value, after.value.model, after.target_value))
    for slow, fast, new in zip(*leaves, strict=True):
        assert np.allclose(new, 0.8 * slow + 0.2 * fast, rtol=1e-12)


def test_the_slow_value_begins_as_the_value(x64):
    nets = networks(CONTINUOUS)
    models = ActorTwinCriticValue(
        nets.squashed_actor(jr.key(1)), nets.twin_values(jr.key(2)), nets.state_value(jr.key(3))
    )
    state = SACV().init(models)
    pairs = zip(jax.tree.leaves(state.target_value), jax.tree.leaves(models.value), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


OUT_OF_RANGE = [
    ("discount", 1.5, r"`discount` must lie in \[0, 1\]; got 1.5"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("polyak_rate", 0.0, r"`polyak_rate` must lie in \(0, 1\]; got 0.0"),
    ("temperature", 0.0, r"`temperature` must lie in \(0, inf\); got 0.0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        SACV(**{name: value})
