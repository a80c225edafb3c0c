import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import CONTINUOUS, networks, random_batch
from rewardtogo.algorithms.sac import SAC, ActorTwinCritic


BATCH, KEY = 10, jr.key(7)


@pytest.fixture(scope="module")
def x64():
    """For the whole module, whose tests share one compiled update."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def problem(x64):
    """A state whose target critics are not the critics, and a batch."""
    nets = networks(CONTINUOUS)
    models = ActorTwinCritic(nets.squashed_actor(jr.key(1)), nets.twin_values(jr.key(2)))
    algorithm = SAC(discount=0.9, initial_temperature=0.3, learning_rate=0.01, polyak_rate=0.2)
    state = algorithm.init(models)
    state = dataclasses.replace(state, target_critic=nets.twin_values(jr.key(3)))
    return algorithm, state, random_batch((BATCH,), CONTINUOUS)


def acted(actor, observation, key):
    """tanh of a normal draw, and its log-density by the change of variables."""
    head = actor(observation, ())[0]
    noise = jr.normal(key, head.mean.shape, jnp.float64)
    inner = head.mean + jnp.exp(head.log_std) * noise
    normal = -(noise**2) / 2 - head.log_std - jnp.log(2 * jnp.pi) / 2
    action = jnp.tanh(inner)
    return action, (normal - jnp.log(1 - action**2)).sum(-1)


def test_targets_by_hand(problem):
    """The lesser target critic less temperature times log π, where the process goes on."""
    algorithm, state, batch = problem
    ours = algorithm.targets(state, batch, jnp.array(0.3), key=KEY)
    action, log_prob = acted(state.actor.model, batch.next_observation, KEY)
    one, two = np.asarray(state.target_critic(batch.next_observation, action))
    assert np.any(one < two) and np.any(two < one)
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    value = np.minimum(one, two) - 0.3 * log_prob
    expected = [
        batch.reward[i] + (0 if batch.terminated[i] else 0.9 * value[i]) for i in range(BATCH)
    ]
    assert np.allclose(ours, expected, rtol=1e-10)


def update(algorithm, state, batch):
    return jax.jit(lambda state: algorithm.update(state, batch, key=KEY))(state)


@pytest.fixture(scope="module")
def updated(problem):
    return problem, update(*problem)


def gradient_from(trainable):
    """Adam's first moment after one step is (1 − 0.9) times the gradient."""
    return jax.tree.map(lambda m: m / 0.1, optax.tree.get(trainable.opt_state, "mu"))


def assert_gradient(trainable, objective, model):
    """Against automatic differentiation of a formula, and that against finite differences."""
    expected = jax.jit(jax.grad(objective))(model)
    ours = jax.tree.leaves(gradient_from(trainable))
    for g, e in zip(ours, jax.tree.leaves(expected), strict=True):
        assert np.allclose(g, e, rtol=1e-8, atol=1e-12)
    step = jax.tree.map(lambda g: 1e-6 * g, expected)
    plus, minus = (
        objective(jax.tree.map(lambda x, d, s=sign: x + s * d, model, step)) for sign in (1, -1)
    )
    slope = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(expected))
    assert slope > 0 and np.allclose((plus - minus) / 2e-6, slope, rtol=1e-5)


def test_critics_step_on_the_squared_error_of_both(updated):
    (algorithm, state, batch), (after, metrics) = updated
    target = algorithm.targets(state, batch, jnp.array(0.3), key=jr.split(KEY)[0])

    def objective(critic):
        one, two = critic(batch.observation, batch.action)
        return jnp.mean((one - target) ** 2 / 2) + jnp.mean((two - target) ** 2 / 2)

    assert_gradient(after.critic, objective, state.critic.model)
    assert np.allclose(metrics["train/critic_loss"], objective(state.critic.model))


def test_the_actor_steps_along_the_path_of_its_actions(updated):
    """E[τ log π(a|s) − min Q(s, a)] over the reparametrised action, judged by the new critics."""
    (_, state, batch), (after, metrics) = updated
    key = jr.split(KEY)[1]

    def objective(actor):
        action, log_prob = acted(actor, batch.observation, key)
        one, two = after.critic.model(batch.observation, action)
        return jnp.mean(0.3 * log_prob - jnp.minimum(one, two))

    assert_gradient(after.actor, objective, state.actor.model)
    assert np.allclose(metrics["train/actor_loss"], objective(state.actor.model))
    log_prob = acted(state.actor.model, batch.observation, key)[1]
    assert np.allclose(metrics["train/entropy"], -log_prob.mean())
    assert np.allclose(metrics["train/ent_coef"], 0.3)


def test_target_critics_follow_the_new_ones(updated):
    (_, state, _), (after, _) = updated
    for slow, fast, new in zip(
        *map(jax.tree.leaves, (state.target_critic, after.critic.model, after.target_critic)),
        strict=True,
    ):
        assert np.allclose(new, 0.8 * slow + 0.2 * fast, rtol=1e-12)


@pytest.mark.parametrize("distance", [1.0, -1.0])
def test_the_temperature_holds_the_entropy(problem, distance):
    """Above the policy's entropy the target raises the temperature, below it lowers it."""
    algorithm, state, batch = problem
    entropy = -acted(state.actor.model, batch.observation, jr.split(KEY)[1])[1].mean()
    wanted = dataclasses.replace(algorithm, target_entropy=float(entropy) + distance)
    after, _ = update(wanted, state, batch)
    gradient = jax.tree.leaves(gradient_from(after.log_temperature))[0]
    # d/d(log τ) of −τ (log π + H̄) is τ (entropy − H̄).
    assert np.allclose(gradient, -0.3 * distance, rtol=1e-6)
    moved = after.log_temperature.model - state.log_temperature.model
    assert np.allclose(moved, 0.01 * np.sign(distance), rtol=1e-5)


def test_the_default_target_is_minus_the_dimensions(updated):
    (_, state, batch), (after, _) = updated
    entropy = -acted(state.actor.model, batch.observation, jr.split(KEY)[1])[1].mean()
    gradient = jax.tree.leaves(gradient_from(after.log_temperature))[0]
    assert np.allclose(gradient, 0.3 * (entropy + 2), rtol=1e-6)


def test_a_fixed_temperature_stays(problem):
    algorithm, state, batch = problem
    fixed = dataclasses.replace(algorithm, learn_temperature=False)
    after, _ = update(fixed, state, batch)
    assert np.allclose(jnp.exp(after.log_temperature.model), 0.3)


def test_the_target_critics_begin_as_the_critics(x64):
    nets = networks(CONTINUOUS)
    models = ActorTwinCritic(nets.squashed_actor(jr.key(1)), nets.twin_values(jr.key(2)))
    state = SAC(initial_temperature=0.5).init(models)
    leaves = map(jax.tree.leaves, (state.target_critic, state.critic.model, models.critic))
    for a, b, c in zip(*leaves, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)
    assert np.allclose(jnp.exp(state.log_temperature.model), 0.5)
    # The twins are two networks, not one twice.
    one, two = models.critic(jnp.ones((4, 3)), jnp.ones((4, 2)))
    assert one.shape == (4,) and not np.any(np.isclose(one, two))


OUT_OF_RANGE = [
    ("discount", -0.5, r"`discount` must lie in \[0, 1\]; got -0.5"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("polyak_rate", 1.5, r"`polyak_rate` must lie in \(0, 1\]; got 1.5"),
    ("initial_temperature", 0.0, r"`initial_temperature` must lie in \(0, inf\); got 0.0"),
    ("target_entropy", float("inf"), "`target_entropy` must lie in .*; got inf"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        SAC(**{name: value})
