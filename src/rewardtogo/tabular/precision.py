"""Exact mathematics runs in float64, whatever precision the rest of the program uses."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


def _to_float64(leaf):
    floating = isinstance(leaf, Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating)
    return jnp.asarray(leaf, jnp.float64) if floating else leaf


def _to_numpy(leaf):
    # JAX would round a float64 array of its own down to float32 outside this context.
    return leaf if isinstance(leaf, Tracer) else np.asarray(leaf)


def in_float64[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` in float64: floating arrays are widened, results come back as NumPy.

    Under a transformation (`grad`, `vmap`, `jit`) results stay traced, so that gradients pass.

    **Raises:** `ValueError` when transformed in a single-precision program, whose backward pass
    would round to float32 behind the user's back.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        if traced and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            name = getattr(function, "__name__", "this function")
            raise ValueError(
                f"`{name}` is exact and in float64: transform it (`grad`, `vmap`, `jit`) inside "
                "`with jax.enable_x64(True):`."
            )
        with jax.enable_x64(True):
            args, kwargs = jax.tree.map(_to_float64, (args, kwargs))
            return jax.tree.map(_to_numpy, function(*args, **kwargs))

    return wrapped
