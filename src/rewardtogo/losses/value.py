"""Losses that fit a value to a target: elementwise, unreduced; the target is a constant."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Scalar


def squared_error(
    value: Float[Array, "*batch"], target: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$\tfrac12 (v - y)^2$, with gradient $v - y$; its minimiser is the mean of the targets.

    Sutton and Barto (2018), eq. 9.1, with the half that makes a gradient step a TD step.
    """
    return 0.5 * jnp.square(value - lax.stop_gradient(target))


def huber(
    value: Float[Array, "*batch"], target: Float[Array, "*batch"], *, delta: Scalar
) -> Float[Array, "*batch"]:
    r"""$\tfrac12 e^2$ where $|e| \le \delta$, else $\delta(|e| - \tfrac12\delta)$; $e = v - y$.

    Huber (1964). Mnih et al. (2015) clip the error of their gradient to ±1, which
    is δ = 1. `delta` > 0 in the units of the value.
    """
    error = jnp.abs(value - lax.stop_gradient(target))
    quadratic = jnp.minimum(error, delta)
    return quadratic * (error - 0.5 * quadratic)


def clipped_value_error(
    value: Float[Array, "*batch"],
    old_value: Float[Array, "*batch"],
    target: Float[Array, "*batch"],
    *,
    clip: Scalar,
) -> Float[Array, "*batch"]:
    r"""The pessimistic squared error that keeps a value near its old one.

    $$\tfrac12\max\bigl((v - y)^2,\; (\bar v - y)^2\bigr), \qquad
    \bar v = v_{\text{old}} + \mathrm{clip}(v - v_{\text{old}}, -\epsilon, \epsilon)$$

    Dhariwal et al. (2017), OpenAI Baselines; Huang et al. (2022), detail 9. The larger of the
    two is taken: the smaller would forget a value that moved away. `old_value` and `target` are
    constants; `clip` > 0 is in the units of the value.
    """
    old_value = lax.stop_gradient(old_value)
    clipped_value = old_value + jnp.clip(value - old_value, -clip, clip)
    return jnp.maximum(squared_error(value, target), squared_error(clipped_value, target))
