"""`lax.scan` over carries that hold leaves other than arrays (an activation, say)."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax


def filter_scan(body: Callable, carry: Any, xs: Any) -> tuple[Any, Any]:
    """As `jax.lax.scan`, with the carry's other leaves held constant."""
    dynamic, static = eqx.partition(carry, eqx.is_array)

    def wrapped(dynamic, x):
        carry, y = body(eqx.combine(dynamic, static), x)
        return eqx.filter(carry, eqx.is_array), y

    dynamic, ys = jax.lax.scan(wrapped, dynamic, xs)
    return eqx.combine(dynamic, static), ys
