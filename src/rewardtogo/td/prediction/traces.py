"""Prediction by TD(λ): every error is handed back to the states that led to it."""

import enum
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ... import validate
from ...types import Scalar
from ..steps.dynamics import Experience
from ..values.state_values import AbstractValues, TabularValues
from .one_step import (
    AbstractPredictor,
    Estimate,
    check_steps,
    next_step_size,
    successor_value,
    untouched,
)


class Trace(enum.Enum):
    """What a visit does to the trace of its state, after the trace faded by γλ."""

    ACCUMULATING = "accumulating"
    REPLACING = "replacing"
    DUTCH = "dutch"


class _Trail(NamedTuple):
    """`trace` is αe; `expected` what the last step's successor was worth when it was met."""

    trace: Float[Array, " states"]
    expected: Float[Array, ""]


class TDLambda(AbstractPredictor):
    r"""Temporal differences with eligibility traces, TD(λ), on-line.

    $$V \leftarrow V + \delta_t\, e_t, \qquad \delta_t = R_{t+1} + \gamma V(S_{t+1}) - V(S_t)$$

    The trace $e$ fades by γλ, then the visited state's becomes, with its step size $\alpha_n$ in
    it: $e + \alpha_n$, accumulating (Sutton, 1988; Sutton and Barto, 2018, eq. 12.5 and 12.7);
    $\alpha_n$, replacing (Singh and Sutton, 1996); $e + \alpha_n(1 - e)$, Dutch (van Seijen and
    Sutton, 2014). With the Dutch trace the method is true online TD(λ),

    $$V \leftarrow V + (\delta_t + V(S_t) - \hat V)\, e_t - \alpha_n (V(S_t) - \hat V)\, 1_{S_t},$$

    $\hat V$ being $V(S_t)$ before the last update: exactly the on-line λ-return (van Seijen et
    al., 2016, theorem 1). A step costs O(|S|): all traces fade.

    **Raises:** `ValueError` for a step size outside (0, 1], a decay or λ outside [0, 1], a trace
    that is no `Trace`, and for anything but a table.
    """

    trace: Trace = Trace.DUTCH
    """What a visit does to the trace of its state."""
    trace_decay: Scalar = 0.9
    """λ: 0 is TD(0), 1 is Monte Carlo."""
    step_size: Scalar = 0.1
    """α, the share of the error by which a first update moves a value."""
    step_decay: Scalar = 0.0
    """ω: the n-th update of a state takes α n^(−ω)."""

    def __check_init__(self):
        check_steps(self)
        validate.instance("trace", self.trace, Trace)
        validate.unit_interval("trace_decay", self.trace_decay)

    def init(self, values: AbstractValues, weights: Any, *, max_steps: int) -> Estimate:
        del max_steps
        if not isinstance(values, TabularValues):
            raise ValueError("TD(λ) learns a table here: it keeps a trace for each state.")
        return untouched(values, weights, _Trail(jnp.zeros_like(weights), jnp.zeros(())))

    def observe(
        self, estimate: Estimate, seen: Experience, discount: Scalar, values: AbstractValues
    ) -> Estimate:
        table, state, trail = estimate.weights, seen.state, estimate.memory
        step = next_step_size(estimate.updates[state], self, table.dtype)
        now, expected = table[state], successor_value(table, seen, values)
        error = seen.reward + discount * expected - now
        trace = self._visited(discount * self.trace_decay * trail.trace, state, step)
        if self.trace is Trace.DUTCH:
            # At an episode's first step the trace is the step alone, and the two terms cancel.
            drift = now - trail.expected
            table = (table + (error + drift) * trace).at[state].add(-step * drift)
        else:
            table = table + error * trace
        ended = seen.terminated | seen.truncated
        after = _Trail(jnp.where(ended, 0, trace), expected)
        return Estimate(table, estimate.updates.at[state].add(1), after)

    def _visited(
        self, trace: Float[Array, " states"], state: Int[Array, ""], step: Float[Array, ""]
    ) -> Float[Array, " states"]:
        match self.trace:
            case Trace.ACCUMULATING:
                return trace.at[state].add(step)
            case Trace.REPLACING:
                return trace.at[state].set(step)
            case Trace.DUTCH:
                return trace.at[state].add(step * (1 - trace[state]))
