"""T6: the routes agree with each other and with finite differences, also at γ = 1."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import expected_return, finite_horizon_values, state_values
from rewardtogo.tabular.exact.gradient import (
    finite_horizon_gradient,
    gradient_by_autodiff,
    gradient_by_recursion,
    gradient_by_theorem,
    value_gradients,
)
from rewardtogo.tabular.problems.garnet import garnet


FEATURES = np.random.default_rng(0).normal(size=(4, 3, 2))
ROUTES = {
    "autodiff": gradient_by_autodiff,
    "theorem": gradient_by_theorem,
    "recursion": gradient_by_recursion,
}


def softmax_linear(theta):
    """A6: softmax-linear in φ(s, a), with a bias a action; parameters shared between states."""
    logits = jnp.asarray(FEATURES) @ theta["weight"] + theta["bias"][None, :]
    return jax.nn.softmax(logits)


POLICIES = {
    "tabular": (jax.nn.softmax, lambda key: jr.normal(key, (4, 3))),
    "linear": (softmax_linear, lambda key: {"weight": jr.normal(key, (2,)), "bias": jnp.ones(3)}),
}


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def finite_differences(function, theta, step=1e-5):
    """Central differences, one a parameter."""
    leaves, treedef = jax.tree.flatten(jax.tree.map(np.asarray, theta))
    sizes = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def at(vector):
        parts = np.split(vector, sizes)
        shaped = [p.reshape(leaf.shape) for p, leaf in zip(parts, leaves, strict=True)]
        return np.asarray(function(jax.tree.unflatten(treedef, shaped)))

    centre = flat(theta)
    steps = step * np.eye(centre.size)
    return np.stack([(at(centre + e) - at(centre - e)) / (2 * step) for e in steps], axis=-1)


@pytest.fixture(params=POLICIES.values(), ids=list(POLICIES))
def policy_and_theta(request, key, x64):
    policy, make = request.param
    return policy, make(key)


def problem(discount, *, num_terminal=1):
    """Start states are drawn unevenly; it may end, as γ = 1 asks."""
    return garnet(
        num_states=4, num_actions=3, num_terminal=num_terminal, discount=discount, key=jr.key(5)
    )


@pytest.mark.parametrize("discount", [0.5, 0.99, 1.0])
def test_the_routes_agree(discount, policy_and_theta):
    policy, theta = policy_and_theta
    mdp = problem(discount)
    numeric = finite_differences(lambda theta: expected_return(mdp, policy(theta)), theta)
    exact = flat(gradient_by_theorem(mdp, policy, theta))
    assert np.abs(exact).max() > 1e-2
    for route in ROUTES.values():
        gradient = route(mdp, policy, theta)
        assert jax.tree.structure(gradient) == jax.tree.structure(theta)
        assert np.allclose(flat(gradient), exact, rtol=1e-9, atol=1e-11)
        assert np.allclose(flat(gradient), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("discount", [0.5, 1.0])
def test_the_recursion_holds_for_every_start_state(discount, key, x64):
    mdp, theta = problem(discount), jr.normal(key, (4, 3))
    ours = value_gradients(mdp, jax.nn.softmax, theta)
    numeric = finite_differences(lambda theta: state_values(mdp, jax.nn.softmax(theta)), theta)
    assert np.allclose(ours.reshape(4, -1), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("discount", [0.5, 0.99, 1.0])
def test_finite_horizon(discount, policy_and_theta):
    """Against finite differences, on an MDP that never ends."""
    policy, theta = policy_and_theta
    mdp = problem(discount, num_terminal=0)

    def objective(theta):
        values, _ = finite_horizon_values(mdp, policy(theta), horizon=3)
        return mdp.initial @ values[0]

    ours = finite_horizon_gradient(mdp, policy, theta, horizon=3)
    numeric = finite_differences(objective, theta)
    assert np.allclose(flat(ours), numeric, rtol=1e-6, atol=1e-7)


def test_a_long_horizon_gives_the_gradient_of_the_endless_problem(key, x64):
    mdp, theta = problem(0.5, num_terminal=0), jr.normal(key, (4, 3))
    limit = gradient_by_theorem(mdp, jax.nn.softmax, theta)
    ours = finite_horizon_gradient(mdp, jax.nn.softmax, theta, horizon=80)
    assert np.allclose(ours, limit, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_an_endless_undiscounted_policy_is_refused(route, key):
    with pytest.raises(ValueError, match="never ends from state 0"):
        route(problem(1.0, num_terminal=0), jax.nn.softmax, jr.normal(key, (4, 3)))


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_single_precision_parameters_are_widened(route, key):
    """Outside of double precision the gradient is still the float64 one, as NumPy."""
    gradient = route(problem(0.9), jax.nn.softmax, jr.normal(key, (4, 3)))
    assert isinstance(gradient, np.ndarray) and gradient.dtype == np.float64


@pytest.mark.parametrize(("num_states", "branching"), [(50, None), (500, None), (500, 3)])
@pytest.mark.parametrize("kind", ["table", "network"])
def test_large_problems(num_states, branching, kind, key, x64):
    """Autodiff through the solve and the theorem, to 1e-10; differences along directions, 1e-6."""
    mdp = garnet(num_states=num_states, num_actions=4, branching=branching, discount=0.99, key=key)
    policy, theta = jax.nn.softmax, jr.normal(key, (num_states, 4))
    if kind == "network":
        features = jr.normal(jr.key(1), (num_states, 5))
        theta = {"in": jr.normal(key, (5, 8)), "out": jr.normal(jr.key(2), (8, 4))}
        policy = lambda theta: jax.nn.softmax(jnp.tanh(features @ theta["in"]) @ theta["out"])
    one, other = (flat(route(mdp, policy, theta)) for route in list(ROUTES.values())[:2])
    assert np.allclose(one, other, rtol=1e-10, atol=1e-10 * np.abs(one).max())
    for seed in range(3):
        draws = np.random.default_rng(seed)
        direction = jax.tree.map(lambda x, d=draws: d.normal(size=x.shape), theta)
        at = lambda step, d=direction: float(
            expected_return(mdp, policy(jax.tree.map(lambda x, y: x + step * y, theta, d)))
        )
        slope = (at(1e-5) - at(-1e-5)) / 2e-5
        assert flat(direction) @ one == pytest.approx(slope, rel=1e-6, abs=1e-7)
