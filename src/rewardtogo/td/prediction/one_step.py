r"""Learning $V^\pi$ from experience, one step at a time: the rule of a method, and TD(0).

A method is a final module that says what one step does to an `Estimate`. What is learned are the
weights of any `AbstractValues`, a table or a function of features:
$w \leftarrow w + \alpha_n\,[\text{target} - \hat v(S, w)]\,\nabla\hat v(S, w)$, the target held
constant, with $\alpha_n = \alpha\, n^{-\omega}$. In a table that moves the value of S by the share
$\alpha_n$ of what it is off, and n counts the updates of S; otherwise n counts all updates. ω = 0
is a constant step size, α = ω = 1 is $1/n(s)$ in a table, the mean of all targets so far.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...tabular.checks import as_floats
from ...types import AnyArray, Scalar
from ..steps.dynamics import Experience
from ..values.state_values import AbstractValues


class Estimate(NamedTuple):
    """What has been learned: `updates` is n, `memory` what a method keeps of the episode.

    A table counts the updates of each state, everything else has one count.
    """

    weights: Any
    updates: Int[Array, " counts"]
    memory: Any = ()


class AbstractPredictor(eqx.Module):
    """A method that learns the values of the policy which made the experience."""

    step_size: eqx.AbstractVar[Scalar]
    step_decay: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def init(self, values: AbstractValues, weights: Any, *, max_steps: int) -> Estimate:
        """Begin from these weights; no episode is longer than `max_steps`."""

    @abc.abstractmethod
    def observe(
        self, estimate: Estimate, seen: Experience, discount: Scalar, values: AbstractValues
    ) -> Estimate:
        """Learn from the next step; the one after an episode's end begins another."""


class TD0(AbstractPredictor):
    r"""Temporal differences of one step, TD(0).

    $$V(S_t) \leftarrow V(S_t) + \alpha_n\,[R_{t+1} + \gamma V(S_{t+1}) - V(S_t)]$$

    Sutton (1988); Sutton and Barto (2018), eq. 6.2; with features or a network, semi-gradient
    TD(0) of section 9.3. A terminal successor is worth 0, that of a
    truncated episode what it is believed to be.

    **Raises:** `ValueError` for a step size outside (0, 1] or a decay outside [0, 1].
    """

    step_size: Scalar = 0.1
    """α, the share of the error by which a first update moves a value."""
    step_decay: Scalar = 0.0
    """ω: the n-th update of a state takes α n^(−ω)."""

    def __check_init__(self):
        check_steps(self)

    def init(self, values: AbstractValues, weights: Any, *, max_steps: int) -> Estimate:
        del max_steps
        return untouched(values, weights)

    def observe(
        self, estimate: Estimate, seen: Experience, discount: Scalar, values: AbstractValues
    ) -> Estimate:
        target = seen.reward + discount * successor_value(estimate.weights, seen, values)
        return moved(estimate, seen.state, target, self, values)


def check_steps(method: AbstractPredictor) -> None:
    """**Raises:** `ValueError` for a step size outside (0, 1] or a decay outside [0, 1]."""
    validate.in_interval("step_size", method.step_size, 0.0, 1.0, open_low=True)
    validate.unit_interval("step_decay", method.step_decay)


def untouched(values: AbstractValues, weights: Any, memory: Any = ()) -> Estimate:
    """These weights, with no update of any."""
    counts = values.num_states if values.separate else 1
    return Estimate(weights, jnp.zeros(counts, jnp.int32), memory)


def successor_value(weights: Any, seen: Experience, values: AbstractValues) -> Float[Array, ""]:
    """V(S_{t+1}): 0 only where the process itself ended."""
    return jnp.where(seen.terminated, 0, values.value(weights, seen.next_state))


def next_step_size(
    updates: Int[Array, ""], method: AbstractPredictor, dtype: Any
) -> Float[Array, ""]:
    r"""$\alpha\, n^{-\omega}$ for the update that comes after so many."""
    return method.step_size * (updates + 1).astype(dtype) ** -method.step_decay


def moved(
    estimate: Estimate,
    state: Int[Array, ""],
    target: Float[Array, ""],
    method: AbstractPredictor,
    values: AbstractValues,
    *,
    counts: Bool[Array, ""] | bool = True,
) -> Estimate:
    """The value of `state` moved toward `target`, and the update counted; as it was unless so."""
    error = target - values.value(estimate.weights, state)
    counter = state if values.separate else 0
    size = next_step_size(estimate.updates[counter], method, error.dtype)
    step = jnp.where(counts, size * error, 0)
    return estimate._replace(
        weights=values.moved(estimate.weights, state, step),
        updates=estimate.updates.at[counter].add(counts),
    )


def spread_value(
    value: float | Float[AnyArray, " given"], num_states: int
) -> Float[np.ndarray, " states"]:
    """One value for all states, or one each; **Raises:** `ValueError` for anything else."""
    values = as_floats("initial_value", value).astype(jnp.result_type(float))
    if values.shape not in ((), (num_states,)):
        raise ValueError(
            f"`initial_value` must be one number or one for each of {num_states} states; got "
            f"shape {values.shape}."
        )
    wrong = values[~np.isfinite(values)]
    if wrong.size:
        raise ValueError(f"`initial_value` must be finite; got {wrong[0]}.")
    return np.broadcast_to(values, num_states)
