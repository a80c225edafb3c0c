r"""What a solver returns, and how far it can be from the truth.

With $\epsilon = \lVert BV - V \rVert_\infty$ for the Bellman optimality operator
$BV(s) = \max_a r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s')$, a γ-contraction,
$\lVert BV - V^* \rVert_\infty \le \gamma\epsilon/(1-\gamma)$, and the policy that is greedy for
$V$ loses at most $\gamma\,\mathrm{span}(BV - V)/(1-\gamma) \le 2\gamma\epsilon/(1-\gamma)$.
Puterman (1994), theorems 6.3.1 and 6.6.2; Williams and Baird (1993).
"""

import dataclasses

from jaxtyping import Float, Int

from .precision import AnyArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    r"""Bounds that hold whatever the solver did, rounding included.

    `residual`: $\epsilon = \lVert BV - V \rVert_\infty$ of the last sweep. `value_error`: bounds
    $\lVert BV - V^* \rVert_\infty$, and $BV$ is what the solution holds. `policy_loss`: bounds
    $\max_s V^*(s) - V^\pi(s)$ of the solution's policy, greedy for $V$. `rounding`: what float64
    can have added to ε, counted in both. At γ = 1 there are no such bounds: both are None.
    """

    residual: float
    rounding: float
    value_error: float | None
    policy_loss: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solution:
    """Optimal values and a policy, with their certificate.

    `values`: $BV$ of the last sweep, one a state. `policy`: an action a state, greedy for $V$.
    `iterations`: sweeps over all states, or improvements of a policy. `converged`: whether the
    tolerance was met. `method`: the name of what was used.
    """

    values: Float[AnyArray, " states"]
    policy: Int[AnyArray, " states"]
    certificate: Certificate
    iterations: int
    converged: bool
    method: str
