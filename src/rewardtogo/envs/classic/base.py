"""What the classic control tasks share: Gymnasium's state vector, and the choice of precision."""

import abc
import contextlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...types import Scalar
from ..protocol import AbstractEnvironment, State


class AbstractClassicControl(AbstractEnvironment[State]):
    """A task that Gymnasium has too, with its state as a vector there.

    The two maps are each other's inverse; drawing and the comparison with Gymnasium use them.
    """

    @abc.abstractmethod
    def state_vector(self, state: State) -> Float[Array, " n"]:
        """Write `state` in the order of Gymnasium's `unwrapped.state`."""

    @abc.abstractmethod
    def state_from_vector(self, vector: Float[Array, " n"]) -> State:
        """Read Gymnasium's `unwrapped.state`, cast to the environment's dtype."""


def float_dtype(dtype: Any) -> np.dtype:
    """Return `dtype` (a type, a `numpy.dtype` or a name) as float32 or float64.

    **Raises:** `ValueError` for any other dtype.
    """
    for allowed in (np.dtype(np.float32), np.dtype(np.float64)):
        # NumPy takes None for float64, and compares names it does not know with an error.
        with contextlib.suppress(TypeError):
            if dtype is not None and allowed == dtype:
                return allowed
    raise ValueError(f"dtype must be float32 or float64, not {dtype!r}.")


def require_precision(dtype: np.dtype) -> None:
    """Stop before JAX turns an asked-for float64 into float32.

    **Raises:** `ValueError` if `dtype` is float64 and 64-bit arrays are off.
    """
    if dtype == np.float64 and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            "this environment has dtype float64, but 64-bit arrays are off: call it inside "
            "`with jax.enable_x64(True):`, or make it with dtype float32."
        )


def symmetric_uniform(key: PRNGKeyArray, size: int, dtype: np.dtype) -> Float[Array, " size"]:
    """Draw `size` independent numbers, uniform in [-1, 1).

    **Raises:** `ValueError` if `dtype` is float64 and 64-bit arrays are off.
    """
    require_precision(dtype)
    return jr.uniform(key, (size,), dtype, minval=-1.0, maxval=1.0)


def as_scalar(value: Any) -> Scalar:
    """Read a whole number given for a real setting as a float; leave anything else alone."""
    return float(value) if isinstance(value, int) else value


def wrap_angle(angle: Float[Array, ""]) -> Float[Array, ""]:
    r"""Bring an angle in radians into [-π, π]: $\theta - 2\pi\,\mathrm{round}(\theta/2\pi)$."""
    return angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))
