import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import DISCRETE, networks, random_batch
from rewardtogo.algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from rewardtogo.nn.policies import CategoricalPolicy


BATCH, KEY = 10, jr.key(7)


@pytest.fixture(scope="module")
def x64():
    """For the whole module, whose tests share one compiled update."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def problem(x64):
    """A state whose target critics are not the critics, and a batch."""
    nets, (one, two, three) = networks(DISCRETE), jr.split(jr.key(1), 3)
    head = nets.action_values(one)
    actor = CategoricalPolicy(head.encoder, head.values)
    algorithm = DiscreteSAC(
        discount=0.9, initial_temperature=0.3, learning_rate=0.01, polyak_rate=0.2
    )
    state = algorithm.init(CategoricalTwinCritic(actor, nets.twin_action_values(two)))
    # Wider apart than at the start: which critic is the lesser changes with state and action.
    slow = jax.tree.map(lambda x: 3 * x, nets.twin_action_values(three))
    return (
        algorithm,
        dataclasses.replace(state, target_critic=slow),
        random_batch((BATCH,), DISCRETE, seed=1),
    )


def policy_of(actor, observation):
    logits = actor(observation, ())[0].logits
    return jnp.exp(logits) / jnp.exp(logits).sum(-1, keepdims=True)


def test_targets_by_hand(problem):
    """The lesser target critic of each action, its log π, and the sum by π, where it goes on."""
    algorithm, state, batch = problem
    policy = np.asarray(policy_of(state.actor.model, batch.next_observation))
    one, two = np.asarray(state.target_critic(batch.next_observation))
    assert np.any(one < two) and np.any(two < one)
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    expected = []
    for i in range(BATCH):
        value = sum(
            p * (min(a, b) - 0.3 * np.log(p))
            for p, a, b in zip(policy[i], one[i], two[i], strict=True)
        )
        expected.append(batch.reward[i] + (0 if batch.terminated[i] else 0.9 * value))
    assert np.allclose(algorithm.targets(state, batch, jnp.array(0.3)), expected, rtol=1e-12)


def update(algorithm, state, batch):
    return jax.jit(lambda state: algorithm.update(state, batch, key=KEY))(state)


@pytest.fixture(scope="module")
def updated(problem):
    return problem, update(*problem)


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


def test_critics_step_on_the_squared_error_of_the_action_taken(updated):
    (algorithm, state, batch), (after, metrics) = updated
    target = algorithm.targets(state, batch, jnp.array(0.3))

    def taken(critic):
        return critic(batch.observation)[:, jnp.arange(BATCH), batch.action]

    def objective(critic):
        return sum(jnp.mean((q - target) ** 2 / 2) for q in taken(critic))

    assert_gradient(after.critic, objective, state.critic.model)
    assert np.allclose(metrics["train/critic_loss"], objective(state.critic.model))
    assert np.allclose(metrics["train/q_value"], taken(state.critic.model).mean())


def test_the_actor_steps_on_the_exact_expectation(updated):
    """Σ π (τ log π − min Q), judged by the new critics; the sum's weights move as well."""
    (_, state, batch), (after, metrics) = updated

    def objective(actor):
        policy = policy_of(actor, batch.observation)
        one, two = after.critic.model(batch.observation)
        return jnp.mean((policy * (0.3 * jnp.log(policy) - jnp.minimum(one, two))).sum(-1))

    assert_gradient(after.actor, objective, state.actor.model)
    assert np.allclose(metrics["train/actor_loss"], objective(state.actor.model))
    policy = policy_of(state.actor.model, batch.observation)
    assert np.allclose(metrics["train/entropy"], -(policy * jnp.log(policy)).sum(-1).mean())
    assert np.allclose(metrics["train/ent_coef"], 0.3)


def test_target_critics_follow_the_new_ones(updated):
    (_, state, _), (after, _) = updated
    leaves = (state.target_critic, after.critic.model, after.target_critic)
    for slow, fast, new in zip(*map(jax.tree.leaves, leaves), strict=True):
        assert np.allclose(new, 0.8 * slow + 0.2 * fast, rtol=1e-12)


def test_the_temperature_holds_a_share_of_the_greatest_entropy(problem):
    """d/d(log τ) of −τ Σ π (log π + H̄) is τ (entropy − H̄): exact, and H̄ a share of log 4."""
    algorithm, state, batch = problem

    def at(fraction):
        swept = dataclasses.replace(algorithm, target_entropy_fraction=fraction)
        after, metrics = swept.update(state, batch, key=KEY)
        return after.log_temperature, metrics["train/entropy"]

    fractions = jnp.array([0.0, 0.5, 0.9999])
    after, entropy = jax.jit(jax.vmap(at))(fractions)
    excess = entropy - fractions * np.log(4)
    assert np.array_equal(excess > 0, [True, True, False])
    assert np.allclose(gradient_from(after)[0], 0.3 * excess, rtol=1e-6)
    moved = after.model - state.log_temperature.model
    assert np.allclose(moved, -0.01 * np.sign(excess), rtol=1e-3)


def test_a_fixed_temperature_stays(problem):
    algorithm, state, batch = problem
    fixed = dataclasses.replace(algorithm, learn_temperature=False)
    after, _ = update(fixed, state, batch)
    assert np.allclose(jnp.exp(after.log_temperature.model), 0.3)


def test_the_target_critics_begin_as_the_critics(problem):
    algorithm, state, _ = problem
    models = CategoricalTwinCritic(state.actor.model, state.critic.model)
    begun = algorithm.init(models).target_critic
    pairs = zip(jax.tree.leaves(begun), jax.tree.leaves(models.critic), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    # The twins are two networks, not one twice.
    one, two = models.critic(jnp.ones((5, 3)))
    assert one.shape == (5, 4) and not np.any(np.isclose(one, two))


OUT_OF_RANGE = [
    ("discount", -0.5, r"`discount` must lie in \[0, 1\]; got -0.5"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("polyak_rate", 1.5, r"`polyak_rate` must lie in \(0, 1\]; got 1.5"),
    ("initial_temperature", 0.0, r"`initial_temperature` must lie in \(0, inf\); got 0.0"),
    ("target_entropy_fraction", 1.0, r"`target_entropy_fraction` must lie in \[0, 1\); got 1.0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        DiscreteSAC(**{name: value})
