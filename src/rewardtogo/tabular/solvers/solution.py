r"""What a solver returns, and how far it can be from the truth.

With $\delta = BV - V$ for the Bellman optimality operator
$BV(s) = \max_a r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s')$, a γ-contraction, and γ < 1,

$$BV + \tfrac{\gamma}{1-\gamma} \min\delta \;\le\; V^* \;\le\;
BV + \tfrac{\gamma}{1-\gamma} \max\delta$$

MacQueen (1966); Puterman (1994), theorem 6.6.2 and proposition 6.6.5. A solver holds the middle
of the two, which is never further from $V^*$ than $BV$ may be,
$\gamma\,\mathrm{span}(\delta)/2(1-\gamma) \le \gamma \lVert\delta\rVert_\infty/(1-\gamma)$. The
policy that is greedy for $V$ loses at most
$\gamma\,\mathrm{span}(\delta)/(1-\gamma) \le 2\gamma\lVert\delta\rVert_\infty/(1-\gamma)$.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...types import AnyArray, Scalar
from ..mdp import AbstractMDP


class Certificate(eqx.Module):
    r"""Bounds that hold however the solver came to its answer, rounding included.

    `residual`: $\lVert BV - V \rVert_\infty$ of the last sweep over all states. `value_error`:
    bounds $\lVert v - V^* \rVert_\infty$ of the solution's values $v$. `policy_loss`: bounds
    $\max_s V^*(s) - V^\pi(s)$ of its policy. `rounding`: what float64 may have added to an entry
    of $BV$, counted in both. At γ = 1 no such bounds exist: both are None.
    """

    residual: Float[AnyArray, ""]
    rounding: Float[AnyArray, ""]
    value_error: Float[AnyArray, ""] | None
    policy_loss: Float[AnyArray, ""] | None


class Solution(eqx.Module):
    """Optimal values and a policy, with their certificate.

    `values`: the middle of the bounds, one a state. `policy`: an action a state, greedy for the
    values before the last sweep. `iterations`: how many, as the method counts. `converged`: whether
    the tolerance was met.
    """

    values: Float[AnyArray, " states"]
    policy: Int[AnyArray, " states"]
    certificate: Certificate
    iterations: Int[AnyArray, ""]
    converged: Bool[AnyArray, ""]

    def __str__(self) -> str:
        error = self.certificate.value_error
        bound = "no bound at discount 1" if error is None else f"within {error:.1e} of optimal"
        return f"values {self.values}\npolicy {self.policy}\n{bound}; {self.iterations} iterations"


class Sweep(eqx.Module):
    r"""One application of $B$ to all states at once: $BV$, the greedy policy, the range of δ."""

    values: Float[Array, " states"]
    policy: Int[Array, " states"]
    low: Float[Array, ""]
    high: Float[Array, ""]

    @property
    def residual(self) -> Float[Array, ""]:
        r"""$\lVert BV - V \rVert_\infty$."""
        return jnp.maximum(jnp.abs(self.low), jnp.abs(self.high))


def sweep(mdp: AbstractMDP, values: Float[Array, " states"], discount: Scalar) -> Sweep:
    r"""Apply $B$, and see how far it moves."""
    q = centred_lookahead(mdp, values, discount)
    best = jnp.max(q, axis=1)
    change = best - values
    return Sweep(best, jnp.argmax(q, axis=1), jnp.min(change), jnp.max(change))


def centred_lookahead(
    mdp: AbstractMDP, values: Float[Array, " states"], discount: Scalar
) -> Float[Array, "states actions"]:
    r"""$r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s')$, as exact as float64 allows.

    The middle of the values is taken out of the sum over successors and put back, so that rounding
    grows with their range and not with their size, which is $1/(1-\gamma)$ times the rewards'.
    """
    centre = (jnp.max(values) + jnp.min(values)) / 2
    return jnp.asarray(mdp.reward) + discount * (centre + mdp.expected(values - centre))


def rounding_error(
    mdp: AbstractMDP, values: Float[Array, " states"], outcomes: int
) -> Float[Array, ""]:
    r"""What float64 may add to an entry of a sweep, with unit roundoff $u$ and K `outcomes`:

    $$u\,\bigl((K + 2)\,\mathrm{span}(V)/2
    + 5\,(\lVert V\rVert_\infty + \lVert r\rVert_\infty)\bigr)$$

    Higham (2002), section 3.1: a sum of K products of a distribution with the centred values is off
    by $K u$ times their size. The process meant is the one whose rows sum to 1 exactly.
    """
    unit = jnp.finfo(jnp.float64).eps / 2
    span = jnp.max(values) - jnp.min(values)
    size = jnp.max(jnp.abs(values)) + jnp.max(jnp.abs(mdp.reward))
    return unit * ((outcomes + 2) * span / 2 + 5 * size)
