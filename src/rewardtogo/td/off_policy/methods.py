r"""Linear prediction from another policy's steps: $\hat v(s) = w^\top x(s)$ of π, learned under b.

A method says what one step adds to its weights, with $\rho_t = \pi(A_t \mid S_t) / b(A_t \mid S_t)$
and $\delta_t = R_{t+1} + \gamma w^\top x_{t+1} - w^\top x_t$. In the mean over what b meets these
are linear equations in

$$A = E[\rho_t x_t (x_t - \gamma x_{t+1})^\top], \quad b = E[\rho_t R_{t+1} x_t], \quad
C = E[x_t x_t^\top].$$

All but semi-gradient TD are stable for every π and b; it is where $A$ has eigenvalues with
positive real parts only, which off-policy nobody promises.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import validate
from ...types import AnyArray, Scalar


class Weights(NamedTuple):
    """`value`: w. `auxiliary`: v, the second weights of the gradient methods; else left at 0."""

    value: Float[Array, " features"]
    auxiliary: Float[Array, " features"]


class OffPolicyStep(NamedTuple):
    r"""One step, of scalars but for the features.

    `next_features`: of the true successor; 0 where it is terminal. `ratio`: $\rho_t$. `followon`:
    the trace $F_t = 1 + \gamma \rho_{t-1} F_{t-1}$, 1 where an episode begins.
    """

    features: Float[AnyArray, " features"]
    reward: Float[AnyArray, ""]
    next_features: Float[AnyArray, " features"]
    ratio: Float[AnyArray, ""]
    followon: Float[AnyArray, ""]


class AbstractOffPolicyMethod(eqx.Module):
    """A method that learns the values of one policy from the steps of another."""

    step_size: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def change(self, weights: Weights, seen: OffPolicyStep, *, discount: Scalar) -> Weights:
        """What this step adds to the weights."""


class OffPolicyTD(AbstractOffPolicyMethod):
    r"""Semi-gradient TD(0) with importance ratios: $\Delta w = \alpha \rho_t \delta_t x_t$.

    Sutton and Barto (2018), eq. 11.2. In the mean $\Delta w = \alpha (b - A w)$, which diverges
    where $A$ has an eigenvalue with a negative real part, however small α.

    **Raises:** `ValueError` unless the step size is above 0.
    """

    step_size: Scalar = 0.01
    """α."""

    def __check_init__(self):
        validate.positive("step_size", self.step_size)

    def change(self, weights: Weights, seen: OffPolicyStep, *, discount: Scalar) -> Weights:
        error = _error(weights.value, seen, discount)
        step = self.step_size * seen.ratio * error * seen.features
        return Weights(step, jnp.zeros_like(step))


class EmphaticTD(AbstractOffPolicyMethod):
    r"""TD(0) weighted by emphasis: $\Delta w = \alpha F_t \rho_t \delta_t x_t$.

    Sutton, Mahmood and White (2016), eq. 1; Sutton and Barto (2018), section 11.8, where $F_t$ is
    $M_t$ and all interest is 1. Stable in the mean; the variance of $F_t$ may be infinite, so that
    samples tell little of it.

    **Raises:** `ValueError` unless the step size is above 0.
    """

    step_size: Scalar = 0.01
    """α."""

    def __check_init__(self):
        validate.positive("step_size", self.step_size)

    def change(self, weights: Weights, seen: OffPolicyStep, *, discount: Scalar) -> Weights:
        error = _error(weights.value, seen, discount)
        step = self.step_size * seen.followon * seen.ratio * error * seen.features
        return Weights(step, jnp.zeros_like(step))


class GTD2(AbstractOffPolicyMethod):
    r"""Gradient descent on the projected Bellman error, its expectation estimated by v.

    $$\Delta w = \alpha \rho_t (x_t - \gamma x_{t+1})\, x_t^\top v, \qquad
    \Delta v = \beta \rho_t (\delta_t - v^\top x_t)\, x_t$$

    Sutton et al. (2009), eqs. 8 and 9; Sutton and Barto (2018), section 11.7, whose second line,
    with ρ before both terms, is this one.

    **Raises:** `ValueError` unless both step sizes are above 0.
    """

    step_size: Scalar = 0.005
    """α, of w."""
    auxiliary_step_size: Scalar = 0.05
    """β, of v."""

    def __check_init__(self):
        validate.positive("step_size", self.step_size)
        validate.positive("auxiliary_step_size", self.auxiliary_step_size)

    def change(self, weights: Weights, seen: OffPolicyStep, *, discount: Scalar) -> Weights:
        predicted = jnp.dot(weights.auxiliary, seen.features)
        slope = seen.features - discount * seen.next_features
        step = self.step_size * seen.ratio * predicted * slope
        return Weights(step, _auxiliary(self.auxiliary_step_size, weights, seen, discount))


class TDC(AbstractOffPolicyMethod):
    r"""TD(0) with gradient correction, also called GTD(0): the same descent, differently written.

    $$\Delta w = \alpha \rho_t (\delta_t x_t - \gamma x_{t+1}\, x_t^\top v), \qquad
    \Delta v = \beta \rho_t (\delta_t - v^\top x_t)\, x_t$$

    Sutton et al. (2009), eq. 10; Sutton and Barto (2018), section 11.7. With v = 0 throughout it
    is semi-gradient TD(0).

    **Raises:** `ValueError` unless both step sizes are above 0.
    """

    step_size: Scalar = 0.005
    """α, of w."""
    auxiliary_step_size: Scalar = 0.05
    """β, of v."""

    def __check_init__(self):
        validate.positive("step_size", self.step_size)
        validate.positive("auxiliary_step_size", self.auxiliary_step_size)

    def change(self, weights: Weights, seen: OffPolicyStep, *, discount: Scalar) -> Weights:
        error = _error(weights.value, seen, discount)
        correction = discount * jnp.dot(weights.auxiliary, seen.features) * seen.next_features
        step = self.step_size * seen.ratio * (error * seen.features - correction)
        return Weights(step, _auxiliary(self.auxiliary_step_size, weights, seen, discount))


METHODS: dict[str, type[OffPolicyTD] | type[EmphaticTD] | type[GTD2] | type[TDC]] = {
    "off-policy-td": OffPolicyTD,
    "emphatic-td": EmphaticTD,
    "gtd2": GTD2,
    "tdc": TDC,
}
"""By the names that the command takes."""


def _error(
    value: Float[Array, " features"], seen: OffPolicyStep, discount: Scalar
) -> Float[Array, ""]:
    r"""$\delta_t$."""
    after = jnp.dot(value, seen.next_features)
    return seen.reward + discount * after - jnp.dot(value, seen.features)


def _auxiliary(
    step_size: Scalar, weights: Weights, seen: OffPolicyStep, discount: Scalar
) -> Float[Array, " features"]:
    """What both gradient methods add to v."""
    error = _error(weights.value, seen, discount)
    surprise = error - jnp.dot(weights.auxiliary, seen.features)
    return step_size * seen.ratio * surprise * seen.features
