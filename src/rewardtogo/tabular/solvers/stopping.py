"""How close a solver is to come, and how close it came."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ..exact.termination import ending_policy
from ..mdp import AbstractMDP
from ..successors import SuccessorMDP
from .solution import Certificate, Solution, Sweep, rounding_error


class Stopping(eqx.Module):
    """γ, the tolerance and the limit on iterations, as numbers: others do not compile anew."""

    discount: Float[Array, ""]
    tolerance: Float[Array, ""]
    limit: Int[Array, ""]
    discounted: bool = eqx.field(static=True)

    @property
    def goal(self) -> Float[Array, ""]:
        """Half of the tolerance: the other half is left to what rounding adds to the bound."""
        return self.tolerance / 2

    @property
    def scale(self) -> Float[Array, ""]:
        r"""From a change to an error: $\gamma/(1-\gamma)$; 1 at γ = 1, where nothing is bounded."""
        one = jnp.ones_like(self.discount)
        return self.discount / (1 - self.discount) if self.discounted else one

    def left(self, last: Sweep) -> Float[Array, ""]:
        """What a solver makes small: the bound on the values' error; the residual at γ = 1."""
        if not self.discounted:
            return last.residual
        return self.scale * (last.high - last.low) / 2

    def shift(self, last: Sweep) -> Float[Array, ""]:
        """From $BV$ to the middle of the bounds, for states that are not terminal."""
        middle = self.scale * (last.high + last.low) / 2
        return middle if self.discounted else jnp.zeros_like(middle)

    def goes_on(self, last: Sweep, iterations: Int[Array, ""]) -> Bool[Array, ""]:
        """Whether there is more to do, and leave to do it."""
        return (self.left(last) > self.goal) & (iterations < self.limit)

    def solution(self, mdp: AbstractMDP, last: Sweep, iterations: Int[Array, ""]) -> Solution:
        """Put the solution together from the last sweep over all states."""
        rounding = rounding_error(mdp, last.values, outcomes(mdp))
        values = last.values + jnp.where(mdp.terminal, 0, self.shift(last))
        error = self.left(last)
        value_error = policy_loss = None
        if self.discounted:
            # Both BV and δ may be off by the rounding, and both ends of δ's range count.
            spread = rounding / (1 - self.discount)
            # Policy iteration keeps an action that is worse by no more than four roundings.
            policy_loss = 2 * error + 6 * spread
            value_error = error = error + spread
        certificate = Certificate(last.residual, rounding, value_error, policy_loss)
        return Solution(values, last.policy, certificate, iterations, error <= self.tolerance)


def stopping(mdp: AbstractMDP, tolerance: float, max_iterations: int) -> Stopping:
    """Check the arguments of a solver; errors are those of `check`."""
    check(mdp, tolerance, max_iterations)
    return Stopping(
        jnp.asarray(mdp.discount, jnp.float64),
        jnp.asarray(tolerance, jnp.float64),
        jnp.asarray(max_iterations),
        mdp.discount < 1,
    )


def check(mdp: AbstractMDP, tolerance: float, max_iterations: int) -> None:
    """Refuse what cannot be solved to the tolerance.

    **Raises:** `ValueError` for a tolerance that is not positive, or finer than float64 can certify
    for this problem; for a count below 1; at γ = 1 where an end cannot be reached from everywhere.
    """
    validate.positive("tolerance", tolerance)
    validate.count("max_iterations", max_iterations)
    if isinstance(mdp.reward, Tracer):
        return
    if mdp.discount == 1:
        ending_policy(mdp)
        return
    if tolerance < finest(mdp):
        raise ValueError(
            f"`tolerance` is {tolerance:g}; with rewards up to {_largest_reward(mdp):g} and "
            f"discount {mdp.discount:g}, float64 can certify no better than {finest(mdp):.1g}."
        )


def finest(mdp: AbstractMDP) -> float:
    r"""About the least error of the values that float64 can certify; 0 at γ = 1, where none is.

    A sweep rounds values of up to $\max|r|/(1-\gamma)$, and the bound is $1/(1-\gamma)$ times that.
    """
    if mdp.discount == 1:
        return 0.0
    return 4 * float(np.finfo(np.float64).eps) * _largest_reward(mdp) / (1 - mdp.discount) ** 2


def _largest_reward(mdp: AbstractMDP) -> float:
    return float(np.max(np.abs(mdp.reward)))


def outcomes(mdp: AbstractMDP) -> int:
    """How many products are summed for one expected value."""
    return mdp.successor.shape[1] if isinstance(mdp, SuccessorMDP) else mdp.num_states


def undiscounted(mdp: AbstractMDP) -> AbstractMDP:
    """The same tables at γ = 1, for programs that take γ from an `Stopping`."""
    return dataclasses.replace(mdp, discount=1.0)
