"""Oracles: dense matrices, the exact tabular geometry, scores summed over all actions."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from algorithms.batches import CONTINUOUS, DISCRETE, networks
from quick_compiles import quick_compiles as quick_compiles
from rewardtogo.nn.distributions import Categorical
from rewardtogo.optim.trust_region import (
    conjugate_gradient,
    fisher,
    length_to,
    line_search,
    penalised_length,
)
from rewardtogo.tabular.exact import natural, trust_region
from rewardtogo.tabular.exact.evaluation import advantages
from rewardtogo.tabular.exact.occupancy import occupancy, visitation
from rewardtogo.tabular.problems.garnet import garnet


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def policy(request, x64):
    """A small network's parameters, and its distributions in nine states."""
    actor = networks(request.param).actor(jr.key(1), log_std=-0.3)
    theta, unravel = ravel_pytree(jax.tree.map(lambda x: 5 * x, actor))
    seen = jr.normal(jr.key(2), (9, 3))
    return theta, lambda theta: unravel(theta)(seen, ())[0]


def dense_fishers(policy, theta):
    """E_a[score scoreᵀ] of every state: over all actions, or the Gaussian's known moments."""
    head = policy(theta)
    if isinstance(head, Categorical):
        jacobian = jax.jacobian(lambda t: jax.nn.log_softmax(policy(t).logits))(theta)
        chances = jax.nn.softmax(head.logits)
        return np.einsum("sa,sai,saj->sij", chances, jacobian, jacobian)
    means = jax.jacobian(lambda t: policy(t).mean)(theta)
    log_stds = jax.jacobian(lambda t: policy(t).log_std)(theta)
    precision = np.exp(-2 * np.asarray(head.log_std))
    of_mean = np.einsum("sk,ski,skj->sij", precision, means, means)
    return of_mean + 2 * np.einsum("ski,skj->sij", log_stds, log_stds)


def test_products_are_those_of_the_dense_matrix(policy):
    """With F = E[score scoreᵀ], of which no divergence knows."""
    theta, distribution = policy
    per_state = dense_fishers(distribution, theta)
    metric = fisher(distribution, theta)
    vector = jr.normal(jr.key(3), theta.shape)
    assert np.allclose(metric.product(vector), per_state.mean(axis=0) @ vector, atol=1e-12)
    curvatures = np.einsum("i,sij,j->s", vector, per_state, vector)
    assert np.allclose(metric.curvatures(vector), curvatures, rtol=1e-10)


def test_half_the_curvature_is_the_divergence(policy):
    """KL(old ‖ new) / vᵀFv → ½: for a step half as long, an eighth of the difference."""
    theta, distribution = policy
    vector = 0.02 * jr.normal(jr.key(3), theta.shape)
    half = 0.5 * fisher(distribution, theta).curvatures(vector).mean()
    old = distribution(theta)

    def error(share):
        return old.kl_divergence(distribution(theta + share * vector)).mean() - share**2 * half

    assert abs(error(1.0)) < 0.1 * half
    assert np.allclose(error(1 / 8) / error(1 / 16), 8, rtol=0.1)


def test_conjugate_gradient_is_the_dense_solve(policy):
    """(F + λI)⁻¹ g: F is singular, damping is not."""
    theta, distribution = policy
    metric = fisher(distribution, theta)
    damped = lambda v: metric.product(v) + 0.1 * v
    target = jr.normal(jr.key(4), theta.shape)
    matrix = dense_fishers(distribution, theta).mean(axis=0) + 0.1 * np.eye(theta.size)
    solved = jax.jit(lambda b: conjugate_gradient(damped, b, iterations=60))(target)
    assert np.allclose(solved.solution, np.linalg.solve(matrix, target), rtol=1e-6, atol=1e-9)
    assert solved.residual < 1e-9
    # Frozen: another sixty iterations change nothing, to the bit.
    again = jax.jit(lambda b: conjugate_gradient(damped, b, iterations=120))(target)
    assert np.array_equal(again.solution, solved.solution)


def test_conjugate_gradient_needs_one_iteration_an_eigenvalue(x64):
    """Two distinct eigenvalues: two iterations. The residual is |b − Ax| / |b|."""
    matrix = jnp.diag(jnp.array([1.0, 1.0, 4.0, 4.0]))
    target = jnp.array([1.0, 2.0, 3.0, 4.0])
    solve = functools.partial(conjugate_gradient, lambda v: matrix @ v, target)
    assert np.allclose(solve(iterations=2).solution, [1, 2, 0.75, 1], rtol=1e-12)
    one = solve(iterations=1)
    residual = np.linalg.norm(target - matrix @ one.solution) / np.linalg.norm(target)
    assert residual > 0.1 and np.allclose(one.residual, residual, rtol=1e-12)


@pytest.mark.parametrize("target", [[0.0, 0.0], [0.0, 1.0], [0.0, 1e10], [1e-30, 1e-30]])
def test_conjugate_gradient_is_never_nan(target):
    """Nothing to solve for, no curvature (large too), numbers whose squares are lost."""
    matrix = jnp.diag(jnp.array([1.0, 0.0]))
    solved = conjugate_gradient(lambda v: matrix @ v, jnp.array(target), iterations=5)
    assert np.all(np.isfinite(solved.solution)) and np.isfinite(solved.residual)


@pytest.fixture
def tabular(x64):
    """A process, a policy with fewer parameters than entries, and its exact batch."""
    mdp = garnet(num_states=5, num_actions=3, discount=0.9, key=jr.key(5))
    features = jr.normal(jr.key(6), (5, 3, 4))
    theta = jr.normal(jr.key(7), (4,))
    logits = lambda theta: features @ theta
    return mdp, theta, logits, lambda theta: jax.nn.softmax(logits(theta))


def test_with_exact_weights_it_is_the_natural_gradient(tabular):
    """Every state weighed by dᵖⁱ: products, direction, and the step of exact TRPO."""
    mdp, theta, logits, policy = tabular
    chances = policy(theta)
    visits = jnp.asarray(visitation(mdp, chances))
    metric = fisher(lambda t: Categorical(logits(t)), theta, average=lambda x: jnp.sum(visits * x))
    dense = natural.fisher(mdp, policy, theta)
    assert np.allclose(jax.vmap(metric.product)(jnp.eye(4)), dense, atol=1e-12)
    weight = occupancy(mdp, chances)[:, None] * advantages(mdp, chances)
    gradient = jax.grad(lambda t: jnp.sum(weight * policy(t)))(theta)
    direction = conjugate_gradient(metric.product, gradient, iterations=20).solution
    assert np.allclose(direction, natural.natural_gradient(mdp, policy, theta), rtol=1e-7)
    length = length_to(jnp.sum(visits * metric.curvatures(direction)), 1e-3)
    exact = trust_region.exact_trpo_step(mdp, policy, theta, max_kl=1e-3)
    assert np.allclose(theta + exact.share * length * direction, exact.theta, rtol=1e-9)
    worst = length_to(jnp.max(metric.curvatures(direction)), 1e-3)
    exact = trust_region.exact_trpo_step_worst_state(mdp, policy, theta, max_kl=1e-3)
    assert np.allclose(theta + exact.share * worst * direction, exact.theta, rtol=1e-9)


def test_lengths(x64):
    """½β²xᵀFx = δ; the vertex of the penalised parabola; nothing without curvature."""
    assert np.allclose(0.5 * length_to(jnp.array(3.0), 0.01) ** 2 * 3.0, 0.01)
    length = penalised_length(jnp.array(2.0), jnp.array(3.0), 5.0)
    parabola = lambda b: 2.0 * b - 5.0 * 0.5 * b**2 * 3.0
    assert np.isclose(jax.grad(parabola)(length), 0, atol=1e-12) and length > 0
    assert length_to(jnp.array(0.0), 0.01) == 0
    assert penalised_length(jnp.array(0.0), jnp.array(0.0), 5.0) == 0


@pytest.mark.parametrize("wanted", range(6))
def test_the_first_accepted_length_is_taken(wanted, x64):
    """Also where shorter ones are acceptable, and longer ones untried would have been."""
    theta, step = jnp.array([0.1, -0.7]), jnp.array([3.0, 1.0])
    accepts = lambda new: (new[0] - theta[0]) / 3.0 <= 0.5**wanted * 1.001
    found = jax.jit(lambda t: line_search(accepts, t, step, lengths=5))(theta)
    if wanted < 5:
        assert found.share == 0.5**wanted
        assert np.array_equal(found.theta, theta + 0.5**wanted * step)
    else:
        assert found.share == 0 and np.array_equal(found.theta, theta)


def test_gaps_between_accepted_lengths_do_not_matter(x64):
    """Lengths 1/2 and 1/8 are accepted, 1/4 is not: 1/2 is taken."""
    accepts = lambda new: (new[0] == 0.5) | (new[0] == 0.125)
    found = line_search(accepts, jnp.zeros(1), jnp.ones(1), lengths=10)
    assert found.share == 0.5 and found.theta[0] == 0.5


@pytest.mark.parametrize("step", [np.nan, np.inf])
def test_a_step_that_is_no_number_is_not_taken(step):
    theta = jnp.array([0.1, -0.7])
    accepts = lambda new: jnp.sum(new) < 10.0
    found = line_search(accepts, theta, jnp.full(2, step), lengths=10)
    assert np.array_equal(found.theta, theta) and found.share == 0


def test_many_searches_at_once(x64):
    """Each stops at its own length under `vmap`, as seeds on an accelerator do."""
    limits = jnp.array([1.0, 0.3, 0.001, 0.07])
    search = lambda limit: line_search(
        lambda new: new[0] <= limit, jnp.zeros(1), jnp.ones(1), lengths=5
    )
    assert np.array_equal(jax.vmap(search)(limits).share, [1, 0.25, 0, 0.0625])
