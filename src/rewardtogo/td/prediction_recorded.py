"""Prediction from steps that somebody recorded."""

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .. import validate
from ..approximation.values import TabularValues
from ..types import AnyArray
from .dynamics import Experience
from .prediction import AbstractPredictor, spread_value


def values_from(
    method: AbstractPredictor,
    steps: Experience,
    *,
    num_states: int,
    discount: float,
    initial_value: float | Float[AnyArray, " given"] = 0.0,
) -> Float[np.ndarray, " states"]:
    """What `method` learns from recorded steps, every field an array over time, in their order.

    An episode that is not over at the last step is learned from as far as the method can.

    **Raises:** `ValueError` for a state outside the table, a step that does not follow from the
    one before, or a number out of range.
    """
    validate.count("num_states", num_states)
    validate.unit_interval("discount", discount)
    _check(steps, num_states)
    start = jnp.asarray(spread_value(initial_value, num_states))
    table = TabularValues(start)
    first = method.init(table, start, max_steps=len(steps.state))
    learn = lambda estimate, seen: (method.observe(estimate, seen, discount, table), None)
    follow = jax.jit(lambda estimate, steps: lax.scan(learn, estimate, steps)[0])
    kinds = ("int32", "int32", start.dtype, "int32", "bool", "bool")
    recorded = Experience(*(jnp.asarray(x, kind) for x, kind in zip(steps, kinds, strict=True)))
    return np.asarray(follow(first, recorded).weights)


def _check(steps: Experience, num_states: int) -> None:
    state, following = np.asarray(steps.state), np.asarray(steps.next_state)
    shapes = {np.shape(field) for field in steps}
    if len(shapes) > 1 or state.ndim != 1 or not state.size:
        raise ValueError(f"recorded steps must be arrays of one length; got shapes {shapes}.")
    for name, states in (("state", state), ("next_state", following)):
        outside = np.flatnonzero((states < 0) | (states >= num_states))
        if outside.size:
            t = outside[0]
            raise ValueError(
                f"`{name}` at step {t} is {states[t]}, outside the table of {num_states} states."
            )
    ended = np.asarray(steps.terminated) | np.asarray(steps.truncated)
    broken = np.flatnonzero(~ended[:-1] & (following[:-1] != state[1:]))
    if broken.size:
        t = broken[0]
        raise ValueError(
            f"step {t} leads to state {following[t]}, but step {t + 1} is in state "
            f"{state[t + 1]}, and no episode ended between them."
        )
