"""Step sizes that change with the number of steps taken."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..types import Scalar


def annealed(learning_rate: Scalar, steps: int) -> Scalar | optax.Schedule:
    """Linear from `learning_rate` to 0 over `steps` optimiser steps; constant for 0 `steps`."""
    return optax.linear_schedule(learning_rate, 0.0, steps) if steps else learning_rate


def falling(start: Scalar, end: Scalar, done: Float[Array, ""]) -> Float[Array, ""]:
    """Linear from `start` to `end` as `done` goes from 0 to 1, and `end` from there on."""
    return start + (end - start) * jnp.minimum(done, 1.0)
