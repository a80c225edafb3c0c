r"""Deterministic policy gradients, on a linear–quadratic problem.

$s' = As + Ba + w$, $r = -s^\top Qs - Ra^2$ and $a = \mu_\theta(s) = \theta^\top s$, so that
$V(s) = -(s^\top Ps + c)$ solves a Lyapunov equation.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Inexact, PRNGKeyArray

from ..theorem import Comparison, Theorem, equal, unequal
from .cases import derivative, draws_of


@dataclasses.dataclass(frozen=True)
class _Quadratic:
    """A linear–quadratic problem with two state coordinates, one action and Gaussian noise."""

    a: Float[np.ndarray, "2 2"]
    b: Float[np.ndarray, " 2"]
    state_cost: Float[np.ndarray, "2 2"]
    action_cost: float
    noise: Float[np.ndarray, "2 2"]  # covariance of w
    start: Float[np.ndarray, "2 2"]  # E s₀s₀ᵀ; the mean of s₀ is 0
    discount: float

    def closed_loop(self, theta: Inexact[np.ndarray, " 2"]) -> Inexact[np.ndarray, "2 2"]:
        return self.a + np.outer(self.b, theta)

    def value(self, theta: Inexact[np.ndarray, " 2"]) -> tuple[np.ndarray, np.ndarray]:
        r"""P and c: $P = Q + R\theta\theta^\top + \gamma F^\top PF$, $c = \gamma\,\mathrm{tr}(PW)
        / (1-\gamma)$."""
        loop = self.closed_loop(theta)
        cost = self.state_cost + self.action_cost * np.outer(theta, theta)
        system = np.eye(4) - self.discount * np.kron(loop.T, loop.T)
        p = np.linalg.solve(system, cost.ravel()).reshape(2, 2)
        constant = self.discount * np.trace(p @ self.noise) / (1 - self.discount)
        return p, np.asarray(constant)

    def expected_return(self, theta: Inexact[np.ndarray, " 2"]) -> Inexact[np.ndarray, ""]:
        p, constant = self.value(theta)
        return np.asarray(-(np.trace(p @ self.start) + constant))

    def action_value(
        self,
        theta: Inexact[np.ndarray, " 2"],
        state: Float[np.ndarray, " 2"],
        action: np.ndarray | np.number,
    ) -> Inexact[np.ndarray, ""]:
        """$Q^\\mu(s, a)$, with $\\mu$ of these parameters."""
        p, constant = self.value(theta)
        mean = self.a @ state + self.b * action
        now = state @ self.state_cost @ state + self.action_cost * action**2
        later = mean @ p @ mean + np.trace(p @ self.noise) + constant
        return np.asarray(-(now + self.discount * later))

    def moments(self, theta: Float[np.ndarray, " 2"], *, first: int = 0) -> np.ndarray:
        r"""$\sum_{t \ge 0} \gamma^t E\,s_{t+i}s_{t+i}^\top$ for i = `first`, term by term."""
        loop, moment = self.closed_loop(theta), self.start
        total, power, count = np.zeros((2, 2)), 1.0, 0
        while power > 1e-18:
            if count >= first:
                total, power = total + power * moment, power * self.discount
            moment, count = loop @ moment @ loop.T + self.noise, count + 1
        return total


def _random_quadratic(
    key: PRNGKeyArray,
) -> tuple[_Quadratic, Float[np.ndarray, " 2"], np.random.Generator]:
    draw = draws_of(key)
    theta, b, loop = draw.normal(size=2), draw.normal(size=2), draw.normal(size=(2, 2))
    loop *= 0.8 / np.abs(np.linalg.eigvals(loop)).max()
    square = lambda x: x @ x.T + 0.1 * np.eye(2)
    costs, noise, start = (square(draw.normal(size=(2, 2))) for _ in range(3))
    discount = float(draw.choice((0.5, 0.9, 0.95)))
    a = loop - np.outer(b, theta)
    action_cost = float(draw.uniform(0.1, 1))
    return _Quadratic(a, b, costs, action_cost, noise, start, discount), theta, draw


def _on_policy(key: PRNGKeyArray) -> Sequence[Comparison]:
    problem, theta, _ = _random_quadratic(key)
    exact = derivative(problem.expected_return, theta)
    p, _ = problem.value(theta)
    # ∇_a Q(s, μ(s)) is linear in s, and ∇_θ μ(s) is s.
    slope = problem.action_cost * theta + problem.discount * problem.b @ p @ (
        problem.closed_loop(theta)
    )
    theorem = -2 * problem.moments(theta) @ slope
    shifted = -2 * problem.moments(theta, first=1) @ slope
    state = np.array([1.0, -2.0])
    q = lambda action: problem.action_value(theta, state, action[0])
    slope_there = derivative(q, np.array([theta @ state]))
    return [
        equal("∇J = E_{p^μ}[∇_θ μ ∇_a Q]", theorem, exact),
        equal("∇_a Q at one state, from Q itself", -2 * slope @ state, slope_there),
        unequal("with visits that start at t = 1: not ∇J", shifted, exact),
    ]


def _off_policy(key: PRNGKeyArray) -> Sequence[Comparison]:
    problem, theta, draw = _random_quadratic(key)
    states, weights = draw.normal(size=(5, 2)), draw.uniform(size=5)

    def visited(function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.tensordot(weights, np.stack([function(s) for s in states]), axes=1)

    def value(theta):
        p, constant = problem.value(theta)
        return visited(lambda s: np.asarray(-(s @ p @ s + constant)))

    def slope(s):
        q = lambda action: problem.action_value(theta, s, action[0])
        return derivative(q, np.array([theta @ s]))

    kept = visited(lambda s: s * slope(s))
    dropped = visited(lambda s: derivative(lambda x: problem.action_value(x, s, theta @ s), theta))
    printed = visited(lambda s: s * problem.action_value(theta, s, theta @ s))
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
        name="off-policy deterministic gradient",
        statement="Off-policy, E_β[∇_θ μ ∇_a Q] lacks a term of ∇J_β: Q depends on θ too.",
        source="004 §2.12, off-policy algorithm; Silver et al. (2014), eq. 15",
        check=_off_policy,
    ),
)
