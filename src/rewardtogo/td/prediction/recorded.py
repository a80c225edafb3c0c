"""Prediction from steps that somebody recorded."""

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from ... import validate
from ...tabular.checks import as_floats
from ...types import AnyArray
from ..steps.dynamics import Experience
from ..values.state_values import TabularValues
from .one_step import AbstractPredictor, spread_value


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

    Whether actions are in the table is not asked: values of states do not need them.

    **Raises:** `ValueError` for a state outside the table, a reward that is not finite, fields of
    another kind, a step that does not follow from the one before, or a number out of range.
    """
    validate.instance("method", method, AbstractPredictor)
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
    shapes = {np.shape(field) for field in steps}
    if len(shapes) > 1 or shapes == {(0,)} or len(next(iter(shapes))) != 1:
        raise ValueError(f"recorded steps must be arrays of one length; got shapes {shapes}.")
    for name in ("state", "next_state"):
        _check_states(name, np.asarray(getattr(steps, name)), num_states)
    reward = as_floats("reward", steps.reward)
    wrong = np.flatnonzero(~np.isfinite(reward))
    if wrong.size:
        raise ValueError(f"`reward` at step {wrong[0]} is {reward[wrong[0]]}; it must be finite.")
    for name in ("terminated", "truncated"):
        kind = np.asarray(getattr(steps, name)).dtype
        if kind.kind != "b":
            raise ValueError(f"`{name}` must hold booleans; got {kind}.")
    _check_order(steps)


def _check_states(name: str, states: Shaped[np.ndarray, " steps"], num_states: int) -> None:
    if states.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold whole numbers; got {states.dtype}.")
    outside = np.flatnonzero((states < 0) | (states >= num_states))
    if outside.size:
        t = outside[0]
        raise ValueError(
            f"`{name}` at step {t} is {states[t]}, outside the table of {num_states} states."
        )


def _check_order(steps: Experience) -> None:
    state, following = np.asarray(steps.state), np.asarray(steps.next_state)
    ended = np.asarray(steps.terminated) | np.asarray(steps.truncated)
    broken = np.flatnonzero(~ended[:-1] & (following[:-1] != state[1:]))
    if broken.size:
        t = broken[0]
        raise ValueError(
            f"step {t} leads to state {following[t]}, but step {t + 1} is in state "
            f"{state[t + 1]}, and no episode ended between them."
        )
