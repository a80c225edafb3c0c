"""DPG with its compatible critic, by hand and against closed forms in double precision."""

import dataclasses
import itertools
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batches import CONTINUOUS, OBSERVATION, networks, random_batch
from jax.flatten_util import ravel_pytree

from rewardtogo.algorithms.dpg import DPG, CompatibleValue, DPGModels, NextAction
from rewardtogo.envs.linear_quadratic import LinearQuadratic
from rewardtogo.lab.theorems.linear_quadratic import problem_of
from rewardtogo.nn.deterministic import deterministic_actor
from rewardtogo.nn.encoders import encoder
from rewardtogo.nn.polynomial import LinearPolicy, PolynomialEncoder
from rewardtogo.recipes import DPGRecipe, default_recipe
from rewardtogo.sources.task import make_task
from rewardtogo.training.train import build_program, train
from rewardtogo.types import Transition


DTYPE = jnp.dtype("float64")
FREE: dict[str, Any] = {"max_grad_norm": 1e9, "ridge": 1e-12}


def linear(space, weight, value_degree=2):
    """A policy of degree 1 with these weights, and features of the value."""
    see = encoder(space, dtype=DTYPE)
    policy = LinearPolicy(PolynomialEncoder(see, 1), jnp.asarray(weight))
    return DPGModels(policy, PolynomialEncoder(see, value_degree))


def weight_of(policy):
    (weight,) = jax.tree.leaves(policy)
    return np.asarray(weight)


def test_the_critic_is_the_formula_for_any_network(x64, key):
    """Q_w = (a − μ)ᵀ ∇μᵀ w + vᵀφ with the whole Jacobian written out, state by state."""
    actor = deterministic_actor(networks(CONTINUOUS), key)
    batch = random_batch((7,), CONTINUOUS)
    features = PolynomialEncoder(encoder(OBSERVATION, dtype=DTYPE), 2)
    theta, unravel = ravel_pytree(actor)
    w, v = jr.normal(key, theta.shape), jr.normal(key, (10,))
    critic = CompatibleValue(actor, unravel(w), features, v)
    for s, a, q, slope in zip(
        batch.observation,
        batch.action,
        critic(batch.observation, batch.action),
        critic.slope(batch.observation),
        strict=True,
    ):
        mu = lambda theta, s=s: unravel(theta)(s, ())[0].mode()
        jacobian = jax.jacfwd(mu)(theta)
        assert np.allclose(slope, jacobian @ w, rtol=1e-10)
        assert np.isclose(q, (a - mu(theta)) @ jacobian @ w + features(s) @ v, rtol=1e-10)


@pytest.mark.parametrize("next_action", NextAction)
def test_update_by_hand(next_action, x64):
    """The critic's equations and the step, one transition after another."""
    batch = random_batch((9, 4), CONTINUOUS, seed=3)
    theta = np.random.default_rng(1).normal(size=(4, 2)) * 0.2
    algorithm = DPG(discount=0.8, next_action=next_action, learning_rate=0.3, **FREE)
    state = algorithm.init(linear(OBSERVATION, theta, value_degree=1))
    after, metrics = algorithm.update(state, batch, key=jr.key(0))

    s, a, r, t = map(np.asarray, (batch.observation, batch.action, batch.reward, batch.terminated))
    cut, then = np.asarray(batch.truncated), np.asarray(batch.next_observation)
    see = lambda s: np.concatenate([[1.0], s])
    psi = lambda s, a: np.concatenate([np.outer(see(s), a - see(s) @ theta).ravel(), see(s)])
    matrix, vector, rows = np.zeros((12, 12)), np.zeros(12), []
    for i, j in np.ndindex(9, 4):
        last = i == 8 or t[i, j] or cut[i, j]
        follows = see(then[i, j]) @ theta
        if next_action is NextAction.TAKEN and not last:
            follows = a[i + 1, j]
        now, later = psi(s[i, j], a[i, j]), 0.8 * (not t[i, j]) * psi(then[i, j], follows)
        matrix, vector = matrix + np.outer(now, now - later), vector + now * r[i, j]
        rows.append((now, later, r[i, j]))
    x = np.linalg.solve(matrix, vector)
    slopes = [see(s[i, j]) @ x[:8].reshape(4, 2) for i, j in np.ndindex(9, 4)]
    step = sum(
        np.outer(see(s[i, j]), g) for (i, j), g in zip(np.ndindex(9, 4), slopes, strict=True)
    )
    assert np.allclose(weight_of(after.actor.model), theta + 0.3 * step / 36, rtol=1e-7)
    error = [r + later @ x - now @ x for now, later, r in rows]
    assert np.isclose(metrics["train/td_error"], np.sqrt(np.mean(np.square(error))), rtol=1e-7)
    assert np.isclose(metrics["train/slope"], np.sqrt(np.mean(np.square(slopes))), rtol=1e-7)


# Two coordinates, two actions, all of it coupled; the bounds are never met.
ENV = LinearQuadratic(
    dynamics=[[0.9, 0.3], [-0.2, 0.8]],
    control=[[1.0, 0.2], [0.0, 0.5]],
    state_cost=[[1.0, 0.2], [0.2, 0.5]],
    action_cost=[[0.5, 0.1], [0.1, 0.2]],
    noise=0.3,
    bound=3.0,
    dtype="float64",
)
PROBLEM = problem_of(ENV, discount=0.9)
GAIN, OTHER = np.array([[-0.1, 0.05], [0.02, -0.2]]), np.array([[-0.2, -0.05], [0.05, 0.05]])
AFFINE = np.vstack([np.zeros((1, 2)), GAIN.T])  # θ of a policy in (1, s)
NOISE = 0.1
# Eight points with mean 0 and second moments I: enough to tell quadratics apart.
POINTS = [(1, 0), (-1, 0), (0, 1), (0, -1), *itertools.product((1.5**0.5, -(1.5**0.5)), repeat=2)]
AXES = [(1, 0), (-1, 0), (0, 1), (0, -1)]


def all_that_may_happen(moments):
    """Two steps whose equally likely rows have the exact moments of states and of both noises."""
    root, gust, shake = np.linalg.cholesky(moments), 2**0.5 * 0.3, 2**0.5 * NOISE
    rows = np.array([np.ravel(x) for x in itertools.product(POINTS, AXES, AXES, AXES, AXES)])
    points, first, second, wind, later = (rows[:, i : i + 2] for i in range(0, 10, 2))
    seen = [points @ root.T]
    taken, reward = [], []
    for noise, moved in ((first, wind), (second, later)):
        s, a = seen[-1], seen[-1] @ GAIN.T + shake * noise
        cost = np.sum(s @ PROBLEM.state_cost * s, 1) + np.sum(a @ PROBLEM.action_cost * a, 1)
        taken.append(a)
        reward.append(-cost)
        seen.append(s @ PROBLEM.dynamics.T + a @ PROBLEM.control.T + gust * moved)
    never = np.zeros((2, len(rows)), bool)
    arrays = (np.stack(seen[:2]), np.stack(taken), np.stack(reward), np.stack(seen[1:]))
    return Transition(*map(jnp.asarray, (*arrays, never, never)))


@pytest.mark.parametrize("next_action", NextAction)
def test_the_fitted_critic_has_the_true_slope(next_action, x64):
    """∇_a Q_w = ∇_a Q^μ at a = μ(s), and V is that of the noisy policy, in closed form."""
    algorithm = DPG(discount=0.9, next_action=next_action, **FREE)
    state = algorithm.init(linear(ENV.observation_space, AFFINE))
    critic = algorithm.critic(state, all_that_may_happen(PROBLEM.moments(GAIN) / 10))
    slope = PROBLEM.action_slope(GAIN).T
    assert np.allclose(weight_of(critic.direction), np.vstack([np.zeros((1, 2)), slope]), atol=1e-7)
    p, constant = PROBLEM.value(GAIN)
    shaken = PROBLEM.action_cost + 0.9 * PROBLEM.control.T @ p @ PROBLEM.control
    constant = constant + NOISE**2 * np.trace(shaken) / (1 - 0.9)
    expected = -np.array([constant, 0, 0, p[0, 0], 2 * p[0, 1], p[1, 1]])
    assert np.allclose(critic.weight, expected, atol=1e-6)


def step_of(moments, **changes):
    """The step of θ, for one of α, on first steps with these second moments of the state."""
    rows = jax.tree.map(lambda x: x[:1], all_that_may_happen(moments))
    algorithm = DPG(discount=0.9, learning_rate=1.0, **FREE | changes)
    after, _ = algorithm.update(
        algorithm.init(linear(ENV.observation_space, AFFINE)), rows, key=jr.key(0)
    )
    return weight_of(after.actor.model) - AFFINE


def difference(function, gain, step=1e-5):
    slope = np.zeros(gain.shape)
    for index in np.ndindex(gain.shape):
        moved = np.zeros(gain.shape)
        moved[index] = step
        slope[index] = (function(gain + moved) - function(gain - moved)) / (2 * step)
    return slope


def test_on_policy_the_step_is_the_gradient_of_the_return(x64):
    """Theorem 3: over the states of μ itself, (1 − γ)∇J; J is differenced."""
    step = step_of((1 - 0.9) * PROBLEM.moments(GAIN))
    assert np.allclose(step[1:].T, (1 - 0.9) * difference(PROBLEM.expected_return, GAIN), rtol=1e-6)
    assert np.allclose(step[0], 0, atol=1e-9)


def test_off_policy_the_step_is_its_own_closed_form_and_not_a_gradient(x64):
    """G6: over another policy's states, E_β[∇μ ∇_a Q]; ∇J_β has a second term."""
    visited = (1 - 0.9) * PROBLEM.moments(OTHER)
    step = step_of(visited)[1:].T
    assert np.allclose(step, PROBLEM.action_slope(GAIN) @ visited, rtol=1e-6)

    def value(gain):
        p, constant = PROBLEM.value(gain)
        return -(np.trace(p @ visited) + constant)

    exact = difference(value, GAIN)
    assert np.linalg.norm(step - exact) > 0.3 * np.linalg.norm(exact)


def test_the_natural_step_is_the_gradient_in_its_own_metric(x64):
    """E[∇μ∇μᵀ] = E[φφᵀ] for each action of a linear policy."""
    visited = (1 - 0.9) * PROBLEM.moments(OTHER)
    metric = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), visited]])
    natural = step_of(visited, natural=True)
    assert np.allclose(metric @ natural, step_of(visited), atol=1e-7)
    assert np.allclose(natural[1:].T, PROBLEM.action_slope(GAIN), rtol=1e-6)


def test_long_steps_are_cut(x64):
    step = step_of(PROBLEM.moments(OTHER), max_grad_norm=0.01)
    assert np.isclose(np.linalg.norm(step), 0.01, rtol=1e-4)


@pytest.mark.parametrize("next_action", NextAction)
def test_it_finds_the_best_gain(next_action):
    """Within a hundredth of the Riccati optimum, by the closed form of the policy learned."""
    task = make_task("LinearQuadratic-v0", num_seeds=1, run_seed=0)
    recipe = default_recipe("dpg", "LinearQuadratic-v0")
    assert isinstance(recipe, DPGRecipe)
    changed = {"discount": 0.95, "natural": True, "learning_rate": 0.03}
    algorithm = DPG(**changed, next_action=next_action)
    assert next_action is not NextAction.POLICY or algorithm == recipe.algorithm
    loop = dataclasses.replace(recipe, algorithm=algorithm).build(task)
    program = build_program(loop, keys=jr.split(jr.key(0), 1))
    *_, last = train(program, total_steps=50_000, report_every=50_000)
    exact = problem_of(LinearQuadratic(), discount=0.95).with_constant()
    gain = np.asarray(last.state.learner.actor.model.weight[0], np.float64).T
    best = exact.expected_return(exact.best_gain())
    assert exact.expected_return(0 * gain) < 10 * best
    assert best >= exact.expected_return(gain) > 1.01 * best


OUT_OF_RANGE = [
    ("discount", 1.5, r"`discount` must lie in \[0, 1\]; got 1.5"),
    ("learning_rate", 0.0, "`learning_rate` .* got 0.0"),
    ("max_grad_norm", 0.0, "`max_grad_norm` .* got 0.0"),
    ("ridge", 0.0, r"`ridge` must lie in \(0, inf\); got 0.0"),
    ("exploration_noise", 0.0, "`exploration_noise` .* got 0.0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        DPG(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy_degree": 0}, "`policy_degree` must be a whole number, at least 1; got 0"),
        ({"value_degree": 0}, "`value_degree` must be a whole number, at least 1; got 0"),
        ({"num_envs": 1, "num_steps": 8}, "= 8 steps cannot tell the critic's 14 unknowns"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(changes, message):
    task = make_task("Pendulum-v1", num_seeds=1, run_seed=0)
    assert isinstance(task.action_space, gym.spaces.Box)
    with pytest.raises(ValueError, match=message):
        DPGRecipe(**changes).build(task)
