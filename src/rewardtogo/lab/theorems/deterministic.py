r"""Deterministic policy gradients, on a linear–quadratic problem.

$a = \mu_\theta(s) = \theta^\top s$; the rest is in `rewardtogo.lab.linear_quadratic`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .cases import derivative, draws_of
from .linear_quadratic import LinearQuadraticProblem
from .theorem import Sides, Theorem, equal, unequal


def _random_quadratic(
    key: PRNGKeyArray,
) -> tuple[LinearQuadraticProblem, Float[np.ndarray, " 2"], np.random.Generator]:
    """Two state coordinates, one action, and a θ under which the state stays bounded."""
    draw = draws_of(key)
    theta, b, loop = draw.normal(size=2), draw.normal(size=2), draw.normal(size=(2, 2))
    loop *= 0.8 / np.abs(np.linalg.eigvals(loop)).max()
    square = lambda x: x @ x.T + 0.1 * np.eye(2)
    costs, noise, start = (square(draw.normal(size=(2, 2))) for _ in range(3))
    discount = float(draw.choice((0.5, 0.9, 0.95)))
    a = loop - np.outer(b, theta)
    action_cost = np.full((1, 1), draw.uniform(0.1, 1))
    problem = LinearQuadraticProblem(a, b[:, None], costs, action_cost, noise, start, discount)
    return problem, theta, draw


def _slope(
    problem: LinearQuadraticProblem, theta: Float[np.ndarray, " 2"], state: Float[np.ndarray, " 2"]
) -> np.ndarray:
    """∇_a Q(s, a) at a = μ(s), from Q itself."""
    q = lambda action: problem.action_value(theta[None], state, action)
    return derivative(q, np.array([theta @ state]))


def _on_policy(key: PRNGKeyArray) -> Sequence[Sides]:
    problem, theta, _ = _random_quadratic(key)
    exact = derivative(lambda x: problem.expected_return(x[None]), theta)
    # ∇_a Q(s, μ(s)) is linear in s, and ∇_θ μ(s) is s.
    slope = problem.action_slope(theta[None])[0]
    shifted = problem.moments(theta[None], first=1) @ slope
    state = np.array([1.0, -2.0])
    return [
        equal("∇J = E_{p^μ}[∇_θ μ ∇_a Q]", problem.gradient(theta[None])[0], exact),
        equal("∇_a Q at one state, from Q itself", slope @ state, _slope(problem, theta, state)),
        unequal("with visits that start at t = 1: not ∇J", shifted, exact),
    ]


def _compatible(key: PRNGKeyArray) -> Sequence[Sides]:
    """μ(s) = x cᵀs at x = 1, one parameter, so that no w fits the slope in every state."""
    problem, c, _ = _random_quadratic(key)
    exact = derivative(lambda x: problem.expected_return(x[None] * c), np.ones(1))
    moments = problem.moments(c[None])
    # Few states with the second moments of all that are visited: all means here are quadratic.
    visited, at_first = np.linalg.cholesky(moments).T, np.linalg.cholesky(problem.start).T

    def fitted(states: np.ndarray) -> np.ndarray:
        slopes = np.concatenate([_slope(problem, c, s) for s in states])
        return np.linalg.lstsq(states @ c[:, None], slopes)[0]

    estimate = lambda w: c @ moments @ c * w  # E[∇μ ∇μᵀ] w
    w, slope = fitted(visited), problem.action_slope(c[None])[0]
    return [
        equal("∇J = E_{p^μ}[∇_θ μ (∇_θ μᵀ w)]", estimate(w), exact),
        unequal("though ∇_θ μᵀ w is not ∇_a Q", c * w, slope),
        unequal(
            "with w fitted to the first states only: not ∇J", estimate(fitted(at_first)), exact
        ),
    ]


def _off_policy(key: PRNGKeyArray) -> Sequence[Sides]:
    problem, theta, draw = _random_quadratic(key)
    states, weights = draw.normal(size=(5, 2)), draw.uniform(size=5)

    def visited(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.tensordot(weights, np.stack([function(s) for s in states]), axes=1)

    def value(theta):
        p, constant = problem.value(theta[None])
        return visited(lambda s: np.asarray(-(s @ p @ s + constant)))

    def q(x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return problem.action_value(x[None], s, np.array([theta @ s]))

    kept = visited(lambda s: s * _slope(problem, theta, s))
    dropped = visited(lambda s: derivative(lambda x: q(x, s), theta))
    printed = visited(lambda s: s * q(theta, s))
    exact = derivative(value, theta)
    return [
        equal("∇J_β = E_β[∇_θ μ ∇_a Q] + E_β[∇_θ Q^μ(s, a) at a = μ(s)]", kept + dropped, exact),
        unequal("the first term alone is not ∇J_β", kept, exact),
        unequal("nor is E_β[∇_θ μ Q] the first term", printed, kept),
    ]


THEOREMS = (
    Theorem(
        name="deterministic policy gradient",
        statement="∇J(μ_θ) = E over p^μ of ∇_θ μ(s) ∇_a Q(s, a) at a = μ(s).",
        source="004 §2.12, eq. 16; Silver et al. (2014), theorem 1",
        check=_on_policy,
    ),
    Theorem(
        name="compatible deterministic critic",
        statement="A slope ∇μᵀw nearest ∇_a Q over p^μ gives ∇J exactly, however badly it fits.",
        source="Silver et al. (2014), theorem 3",
        check=_compatible,
    ),
    Theorem(
        name="off-policy deterministic gradient",
        statement="Off-policy, E_β[∇_θ μ ∇_a Q] lacks a term of ∇J_β: Q depends on θ too.",
        source="004 §2.12, off-policy algorithm; Silver et al. (2014), eq. 15",
        check=_off_policy,
    ),
)
