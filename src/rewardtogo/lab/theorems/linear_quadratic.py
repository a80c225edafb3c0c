r"""Linear–quadratic problems, exactly: values, returns and gradients of linear policies, the best.

$s' = As + Ba + w$ with $E\,w = 0$, $E\,ww^\top = W$; $r = -(s^\top Qs + a^\top Ra)$; $a = Ks$. Then
$V(s) = -(s^\top Ps + c)$. Bertsekas (2017), *Dynamic Programming and Optimal Control*, section 3.1.
Double precision NumPy; what depends on the gain alone is analytic in it, so that a complex step
differentiates it.
"""

import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float, Inexact

from ...envs.linear_quadratic import LinearQuadratic
from ...envs.wrappers import scale_action


Gain = Inexact[np.ndarray, "actions states"]


@dataclasses.dataclass(frozen=True)
class LinearQuadraticProblem:
    """The process, its cost, where it starts, and a discount γ < 1."""

    dynamics: Float[np.ndarray, "states states"]  # A
    control: Float[np.ndarray, "states actions"]  # B
    state_cost: Float[np.ndarray, "states states"]  # Q
    action_cost: Float[np.ndarray, "actions actions"]  # R
    noise: Float[np.ndarray, "states states"]  # W, the covariance of w
    start: Float[np.ndarray, "states states"]  # E s₀s₀ᵀ
    discount: float

    def closed_loop(self, gain: Gain) -> Inexact[np.ndarray, "states states"]:
        r"""$F = A + BK$.

        **Raises:** `ValueError` where $\gamma\rho(F)^2 \ge 1$: no return is finite there.
        """
        loop = self.dynamics + self.control @ gain
        growth = self.discount * np.abs(np.linalg.eigvals(loop)).max() ** 2
        if growth >= 1:
            raise ValueError(f"this gain has no finite return: γρ(A + BK)² = {growth:g}.")
        return loop

    def cost(self, gain: Gain) -> Inexact[np.ndarray, "states states"]:
        r"""$Q + K^\top RK$: a step costs $s^\top(\cdot)s$."""
        return self.state_cost + gain.T @ self.action_cost @ gain

    def value(
        self, gain: Gain
    ) -> tuple[Inexact[np.ndarray, "states states"], Inexact[np.ndarray, ""]]:
        r"""P and c of $V(s) = -(s^\top Ps + c)$.

        $$P = Q + K^\top RK + \gamma F^\top PF, \qquad c = \gamma\,\mathrm{tr}(PW) / (1 - \gamma)$$

        A Lyapunov equation, solved as one linear system.
        """
        loop = self.closed_loop(gain)
        system = np.eye(loop.size) - self.discount * np.kron(loop.T, loop.T)
        p = np.linalg.solve(system, self.cost(gain).ravel()).reshape(loop.shape)
        constant = self.discount * np.trace(p @ self.noise) / (1 - self.discount)
        return p, np.asarray(constant)

    def expected_return(self, gain: Gain) -> Inexact[np.ndarray, ""]:
        r"""$J(K) = -(\mathrm{tr}(P\,E s_0 s_0^\top) + c)$."""
        p, constant = self.value(gain)
        return np.asarray(-(np.trace(p @ self.start) + constant))

    def action_value(
        self,
        gain: Gain,
        state: Float[np.ndarray, " states"],
        action: Inexact[np.ndarray, " actions"],
    ) -> Inexact[np.ndarray, ""]:
        r"""$Q^K(s, a)$: a first, then $a = Ks$ for ever."""
        p, constant = self.value(gain)
        mean = self.dynamics @ state + self.control @ action
        now = state @ self.state_cost @ state + action @ self.action_cost @ action
        later = mean @ p @ mean + np.trace(p @ self.noise) + constant
        return np.asarray(-(now + self.discount * later))

    def action_slope(self, gain: Gain) -> Gain:
        r"""G of $\nabla_a Q^K(s, a) = Gs$ at $a = Ks$: $G = -2(RK + \gamma B^\top PF)$."""
        p, _ = self.value(gain)
        later = self.control.T @ p @ self.closed_loop(gain)
        return -2 * (self.action_cost @ gain + self.discount * later)

    def moments(
        self, gain: Float[np.ndarray, "actions states"], *, first: int = 0
    ) -> Float[np.ndarray, "states states"]:
        r"""$\sum_{t \ge 0} \gamma^t E\,s_{t+i}s_{t+i}^\top$ for i = `first`, term by term."""
        loop, moment = self.closed_loop(gain), self.start
        total, power, count = np.zeros(loop.shape), 1.0, 0
        while power > 1e-18:
            if count >= first:
                total, power = total + power * moment, power * self.discount
            moment, count = loop @ moment @ loop.T + self.noise, count + 1
        return total

    def gradient(
        self, gain: Float[np.ndarray, "actions states"]
    ) -> Float[np.ndarray, "actions states"]:
        r"""$\nabla_K J = G \sum_t \gamma^t E\,s_ts_t^\top$.

        Silver et al. (2014), theorem 1, for $\mu(s) = Ks$.
        """
        return self.action_slope(gain) @ self.moments(gain)

    def best_gain(self) -> Float[np.ndarray, "actions states"]:
        r"""$K^* = -(R + \gamma B^\top PB)^{-1}\gamma B^\top PA$, P from the Riccati equation.

        It is the undiscounted one of $\sqrt\gamma A$ and $\sqrt\gamma B$.
        """
        root = self.discount**0.5
        a, b = root * self.dynamics, root * self.control
        p = scipy.linalg.solve_discrete_are(a, b, self.state_cost, self.action_cost)
        return -np.linalg.solve(self.action_cost + b.T @ p @ b, b.T @ p @ a)

    def episode_return(
        self, gain: Float[np.ndarray, "actions states"], *, steps: int
    ) -> Float[np.ndarray, ""]:
        """The expected sum of the first `steps` rewards, without discount."""
        loop, cost = self.dynamics + self.control @ gain, self.cost(gain)
        total, moment = 0.0, self.start
        for _ in range(steps):
            total -= np.trace(cost @ moment)
            moment = loop @ moment @ loop.T + self.noise
        return np.asarray(total)

    def with_constant(self) -> "LinearQuadraticProblem":
        """The same with states (1, s): its linear policies are the affine ones of this."""

        def extended(matrix: np.ndarray, first: float) -> np.ndarray:
            return np.asarray(scipy.linalg.block_diag([[first]], matrix))

        return LinearQuadraticProblem(
            extended(self.dynamics, 1.0),
            np.vstack([np.zeros((1, self.control.shape[1])), self.control]),
            extended(self.state_cost, 0.0),
            self.action_cost,
            extended(self.noise, 0.0),
            extended(self.start, 1.0),
            self.discount,
        )


def problem_of(env: LinearQuadratic, *, discount: float) -> LinearQuadraticProblem:
    """The environment without its clip, with actions in the policy's units: 1 is its bound."""
    unit = scale_action(env.action_space, np.ones(len(env.action_cost)))
    a, b, q, r = (
        np.array(rows) for rows in (env.dynamics, env.control, env.state_cost, env.action_cost)
    )
    ones = np.eye(len(a))
    scaled = unit[:, None] * r * unit[None, :]
    noise = float(env.noise) ** 2 * ones
    return LinearQuadraticProblem(a, b * unit[None, :], q, scaled, noise, ones / 3, discount)
