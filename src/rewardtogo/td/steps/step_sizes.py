r"""Step sizes $\alpha_n$ of the n-th update of a state and action.

Convergence with probability 1 asks that $\sum_n \alpha_n = \infty$ and
$\sum_n \alpha_n^2 < \infty$ for every pair; Robbins and Monro (1951), Watkins and Dayan (1992).

These are for control, where a rule may be one's own. Prediction writes $\alpha n^{-\omega}$ as two
numbers, since `predict` learns with a whole array of α at once. It is not for speed: a power
costs 2 ns of the 60 that a step of control takes.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import validate
from ...types import Scalar


def settles(decay: float) -> bool:
    r"""Whether $\alpha\,n^{-\omega}$ meets both conditions: where 1/2 < ω ≤ 1, and only there."""
    return 0.5 < decay <= 1


class AbstractStepSize(eqx.Module):
    """α as a function of how often a state and action have been updated."""

    @abc.abstractmethod
    def __call__(self, visits: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Of the update that is the `visits`-th, counted from 1."""

    @property
    @abc.abstractmethod
    def converges(self) -> bool:
        """Whether the sum diverges and the sum of squares does not (Robbins and Monro, 1951)."""


class ConstantStepSize(AbstractStepSize):
    r"""$\alpha_n = \alpha$: the sum of squares diverges, so that the error never settles.

    **Raises:** `ValueError` for a `size` outside (0, 1].
    """

    size: Scalar = 0.1
    """α, in (0, 1]."""

    def __check_init__(self):
        validate.in_interval("size", self.size, 0.0, 1.0, open_low=True)

    def __call__(self, visits: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return jnp.full_like(visits, self.size)

    @property
    def converges(self) -> bool:
        return False


class PolynomialStepSize(AbstractStepSize):
    r"""$\alpha_n = n^{-\kappa}$ with κ in (1/2, 1]; κ = 1 averages all targets.

    The sum diverges for κ ≤ 1, the sum of squares converges for κ > 1/2. Even-Dar and Mansour
    (2003): the time to reach a given error grows exponentially in 1/(1−γ) at κ = 1, and as a
    polynomial below.
    **Raises:** `ValueError` for an `exponent` outside (1/2, 1].
    """

    exponent: Scalar = 0.7
    """κ, in (1/2, 1]."""

    def __check_init__(self):
        why = "else n^-κ has a finite sum or its squares have none (Robbins and Monro)"
        validate.in_interval("exponent", self.exponent, 0.5, 1.0, open_low=True, because=why)

    def __call__(self, visits: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        return visits**-self.exponent

    @property
    def converges(self) -> bool:
        return True
