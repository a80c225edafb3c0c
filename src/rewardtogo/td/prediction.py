r"""Learning $V^\pi$ from experience, one state at a time: the rule of a method, and TD(0).

A method is a final module that says what one step does to an `Estimate`. The n-th update of a
state moves its value by the share $\alpha_n = \alpha\, n^{-\omega}$ of what it is off: ω = 0 is a
constant step size, α = ω = 1 is $1/n(s)$, the mean of all targets so far.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .. import validate
from ..tabular.checks import as_floats
from ..types import AnyArray, Scalar
from .dynamics import Experience


class Estimate(NamedTuple):
    """What has been learned: `updates` is n(s), `memory` what a method keeps of the episode."""

    values: Float[Array, " states"]
    updates: Int[Array, " states"]
    memory: Any = ()


class AbstractPredictor(eqx.Module):
    """A method that learns the values of the policy which made the experience."""

    step_size: eqx.AbstractVar[Scalar]
    step_decay: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def init(self, values: Float[Array, " states"], *, max_steps: int) -> Estimate:
        """Begin from these values; no episode is longer than `max_steps`."""

    @abc.abstractmethod
    def observe(self, estimate: Estimate, seen: Experience, discount: Scalar) -> Estimate:
        """Learn from the next step; the one after an episode's end begins another."""


class TD0(AbstractPredictor):
    r"""Temporal differences of one step, TD(0).

    $$V(S_t) \leftarrow V(S_t) + \alpha_n\,[R_{t+1} + \gamma V(S_{t+1}) - V(S_t)]$$

    Sutton (1988); Sutton and Barto (2018), eq. 6.2. A terminal successor is worth 0, that of a
    truncated episode what it is believed to be.

    **Raises:** `ValueError` for a step size outside (0, 1] or a decay outside [0, 1].
    """

    step_size: Scalar = 0.1
    """α, the share of the error by which a first update moves a value."""
    step_decay: Scalar = 0.0
    """ω: the n-th update of a state takes α n^(−ω)."""

    def __check_init__(self):
        check_steps(self)

    def init(self, values: Float[Array, " states"], *, max_steps: int) -> Estimate:
        del max_steps
        return untouched(values)

    def observe(self, estimate: Estimate, seen: Experience, discount: Scalar) -> Estimate:
        target = seen.reward + discount * successor_value(estimate.values, seen)
        return moved(estimate, seen.state, target, self)


def check_steps(method: AbstractPredictor) -> None:
    """**Raises:** `ValueError` for a step size outside (0, 1] or a decay outside [0, 1]."""
    validate.in_interval("step_size", method.step_size, 0.0, 1.0, open_low=True)
    validate.unit_interval("step_decay", method.step_decay)


def untouched(values: Float[Array, " states"], memory: Any = ()) -> Estimate:
    """These values, with no update of any."""
    return Estimate(values, jnp.zeros(values.shape, jnp.int32), memory)


def successor_value(values: Float[Array, " states"], seen: Experience) -> Float[Array, ""]:
    """V(S_{t+1}): 0 only where the process itself ended."""
    return jnp.where(seen.terminated, 0, values[seen.next_state])


def next_step_size(
    estimate: Estimate, state: Int[Array, ""], method: AbstractPredictor
) -> Float[Array, ""]:
    r"""$\alpha\, n^{-\omega}$ for the update of `state` that comes next."""
    n = (estimate.updates[state] + 1).astype(estimate.values.dtype)
    return method.step_size * n**-method.step_decay


def moved(
    estimate: Estimate,
    state: Int[Array, ""],
    target: Float[Array, ""],
    method: AbstractPredictor,
    *,
    counts: Bool[Array, ""] | bool = True,
) -> Estimate:
    """The value of `state` moved toward `target`, and the update counted; as it was unless so."""
    error = target - estimate.values[state]
    step = jnp.where(counts, next_step_size(estimate, state, method) * error, 0)
    return estimate._replace(
        values=estimate.values.at[state].add(step), updates=estimate.updates.at[state].add(counts)
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
