"""Step sizes that change with the number of steps taken."""

import optax

from ..types import Scalar


def annealed(learning_rate: Scalar, steps: int) -> Scalar | optax.Schedule:
    """Linear from `learning_rate` to 0 over `steps` optimiser steps; constant for 0 `steps`."""
    return optax.linear_schedule(learning_rate, 0.0, steps) if steps else learning_rate
