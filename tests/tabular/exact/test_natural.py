"""T7, G8: the Fisher matrix is the Hessian of the divergence; F⁺∇J is what theory says."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rewardtogo.tabular.exact.distances import kl_divergence
from rewardtogo.tabular.exact.evaluation import advantages, expected_return
from rewardtogo.tabular.exact.gradient import gradient_by_theorem
from rewardtogo.tabular.exact.natural import (
    acting_visitation,
    fisher,
    fisher_vector_product,
    natural_gradient,
    state_curvatures,
)
from rewardtogo.tabular.exact.occupancy import visitation
from rewardtogo.tabular.problems.garnet import garnet


STATES, ACTIONS = 4, 3


def network(theta):
    """Four one-hot states, three hidden units, three actions: more parameters than directions."""
    hidden = jnp.tanh(theta["first"] + theta["bias"][None, :])
    return jax.nn.softmax(hidden @ theta["second"])


def network_parameters(key):
    first, second, bias = jr.split(key, 3)
    return {
        "first": jr.normal(first, (STATES, 3)),
        "second": jr.normal(second, (3, ACTIONS)),
        "bias": jr.normal(bias, (3,)),
    }


def aliased(theta):
    """One distribution for all states."""
    return jnp.broadcast_to(jax.nn.softmax(theta)[None, :], (STATES, ACTIONS))


POLICIES = {
    "tabular": (jax.nn.softmax, lambda key: jr.normal(key, (STATES, ACTIONS))),
    "aliased": (aliased, lambda key: jr.normal(key, (ACTIONS,))),
    "network": (network, network_parameters),
}


@pytest.fixture(params=POLICIES.values(), ids=list(POLICIES))
def policy_and_theta(request, key, x64):
    policy, make = request.param
    return policy, make(key)


def problem(*, discount=0.9, num_terminal=0):
    return garnet(
        num_states=STATES,
        num_actions=ACTIONS,
        num_terminal=num_terminal,
        discount=discount,
        key=jr.key(5),
    )


def mean_kl(mdp, policy, theta):
    """A function of Δ, flat; d^π is held fixed."""
    flat, unravel = ravel_pytree(theta)
    old = jnp.asarray(policy(theta))
    visits = acting_visitation(mdp, old)
    return lambda change: visits @ kl_divergence(old, policy(unravel(flat + change)))


@pytest.mark.parametrize("num_terminal", [0, 1])
def test_fisher_is_the_hessian_of_the_divergence(num_terminal, policy_and_theta):
    policy, theta = policy_and_theta
    mdp = problem(num_terminal=num_terminal)
    zero = jnp.zeros_like(ravel_pytree(theta)[0])
    hessian = jax.jit(jax.hessian(mean_kl(mdp, policy, theta)))(zero)
    assert np.abs(hessian).max() > 1e-2
    assert np.allclose(fisher(mdp, policy, theta), hessian, rtol=1e-9, atol=1e-13)


def test_fisher_by_its_definition(policy_and_theta):
    """Σ_s d^π(s) Σ_a π ∇log π ∇log πᵀ, with scores from the logarithm itself."""
    policy, theta = policy_and_theta
    mdp = problem()
    flat, unravel = ravel_pytree(theta)
    scores = jax.jacobian(lambda vector: jnp.log(policy(unravel(vector))))(flat)
    weight = visitation(mdp, policy(theta))[:, None] * policy(theta)
    expected = np.einsum("sa,sai,saj->ij", weight, scores, scores)
    assert np.allclose(fisher(mdp, policy, theta), expected, rtol=1e-10, atol=1e-14)


def test_products_without_the_matrix(policy_and_theta):
    policy, theta = policy_and_theta
    mdp = problem(num_terminal=1)
    flat, unravel = ravel_pytree(theta)
    direction = jr.normal(jr.key(1), flat.shape)
    ours = fisher_vector_product(mdp, policy, theta, unravel(direction))
    assert jax.tree.structure(ours) == jax.tree.structure(theta)
    product = fisher(mdp, policy, theta) @ direction
    assert np.allclose(ravel_pytree(ours)[0], product, rtol=1e-10, atol=1e-14)
    visits = acting_visitation(mdp, policy(theta))
    curvature = visits @ state_curvatures(policy, theta, unravel(direction))
    assert np.isclose(curvature, direction @ product, rtol=1e-10)


def test_the_divergence_is_half_the_square(policy_and_theta):
    """KL − ½ΔᵀFΔ is of third order: it falls eightfold when Δ is halved."""
    policy, theta = policy_and_theta
    mdp = problem()
    matrix, divergence = fisher(mdp, policy, theta), mean_kl(mdp, policy, theta)
    direction = jr.normal(jr.key(2), matrix.shape[:1])
    lengths = 2.0 ** -np.arange(4, 8)
    square = lengths**2 * (direction @ matrix @ direction)
    exact = np.array([divergence(length * direction) for length in lengths])
    error = np.abs(exact - square / 2)
    assert np.isclose(exact[-1] / square[-1], 0.5, atol=5e-3)
    assert np.all(np.abs(np.log2(error[:-1] / error[1:]) - 3) < 0.35)


@pytest.mark.parametrize("discount", [0.0, 0.9, 0.99])
def test_a_softmax_table_moves_along_the_advantage(discount, key, x64):
    """F⁺∇J = (A − mean_a A)/(1−γ) wherever the policy goes, and 0 elsewhere."""
    mdp, theta = problem(discount=discount), jr.normal(key, (STATES, ACTIONS))
    advantage = advantages(mdp, jax.nn.softmax(theta))
    expected = (advantage - advantage.mean(axis=1, keepdims=True)) / (1 - discount)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(natural_gradient(mdp, jax.nn.softmax, theta), expected, rtol=1e-8)


def test_states_that_are_never_met_do_not_move(key, x64):
    """The last state is terminal, and nothing leads to the one before it."""
    mdp = problem(num_terminal=1)
    kept = np.asarray(mdp.transition).copy()
    kept[:2, :, 1] += kept[:2, :, 2]
    kept[:2, :, 2] = 0
    start = np.array([0.7, 0.3, 0.0, 0.0])
    mdp = type(mdp)(kept, mdp.reward, start, mdp.terminal, discount=0.9)
    theta = jr.normal(key, (STATES, ACTIONS))
    advantage = advantages(mdp, jax.nn.softmax(theta))
    expected = (advantage - advantage.mean(axis=1, keepdims=True)) / 0.1
    ours = natural_gradient(mdp, jax.nn.softmax, theta)
    assert np.allclose(ours[:2], expected[:2], rtol=1e-8)
    assert np.all(ours[2:] == 0)


def test_it_is_the_pseudo_inverse_times_the_gradient(policy_and_theta):
    policy, theta = policy_and_theta
    mdp = problem(num_terminal=1)
    gradient, _ = ravel_pytree(gradient_by_theorem(mdp, policy, theta))
    matrix = np.asarray(fisher(mdp, policy, theta))
    assert np.linalg.matrix_rank(matrix, rtol=1e-11) < len(matrix)
    expected = np.linalg.pinv(matrix, rcond=1e-11, hermitian=True) @ gradient
    ours = natural_gradient(mdp, policy, theta)
    assert jax.tree.structure(ours) == jax.tree.structure(theta)
    assert np.allclose(ravel_pytree(ours)[0], expected, rtol=1e-5, atol=1e-7)


def test_the_change_of_the_policy_does_not_depend_on_its_parameters(key, x64):
    """Softmax of θ and of Mθ: the natural direction moves probabilities alike."""
    mdp, theta = problem(), jr.normal(key, (STATES, ACTIONS))
    mix = jr.normal(jr.key(3), (ACTIONS, ACTIONS)) + 2 * jnp.eye(ACTIONS)
    mixed = lambda other: jax.nn.softmax(other @ mix)
    other = theta @ jnp.linalg.inv(mix)
    moves = [
        jax.jvp(policy, (at,), (jnp.asarray(natural_gradient(mdp, policy, at)),))[1]
        for policy, at in ((jax.nn.softmax, theta), (mixed, other))
    ]
    assert np.allclose(*moves, rtol=1e-8, atol=1e-10)


def test_under_transformations(key, x64):
    mdp, thetas = problem(), jr.normal(key, (2, STATES, ACTIONS))
    direction = lambda theta: natural_gradient(mdp, jax.nn.softmax, theta)
    batched = jax.jit(jax.vmap(direction))(thetas)
    assert np.allclose(batched, [direction(theta) for theta in thetas], rtol=1e-9, atol=1e-12)
    slope = lambda theta: jnp.vdot(direction(theta), direction(theta))
    assert np.isfinite(jax.jit(jax.grad(slope))(thetas[0])).all()


def test_a_step_along_it_gains(policy_and_theta):
    policy, theta = policy_and_theta
    mdp = problem()
    ours = natural_gradient(mdp, policy, theta)
    new = jax.tree.map(lambda t, x: t + 1e-4 * x, theta, ours)
    assert expected_return(mdp, policy(new)) > expected_return(mdp, policy(theta))


def test_an_undiscounted_problem_is_refused(key):
    mdp = problem(discount=1.0, num_terminal=1)
    with pytest.raises(ValueError, match="`discount` below 1"):
        natural_gradient(mdp, jax.nn.softmax, jr.normal(key, (STATES, ACTIONS)))
