"""Multilayer perceptrons over any leading axes."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray


Initialiser = Callable[[PRNGKeyArray, int, int, Any], Float[Array, "inputs outputs"]]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}


def orthogonal(gain: float) -> Initialiser:
    """Weights with orthonormal rows or columns times `gain`; Saxe et al. (2014)."""

    def initialise(key: PRNGKeyArray, inputs: int, outputs: int, dtype: Any):
        return jax.nn.initializers.orthogonal(gain)(key, (inputs, outputs), dtype)

    return initialise


def fan_in_uniform(key: PRNGKeyArray, inputs: int, outputs: int, dtype: Any):
    """Weights uniform on ±1/√inputs; LeCun et al. (1998), section 4.6, as PyTorch scales it."""
    bound = 1.0 / inputs**0.5
    return jr.uniform(key, (inputs, outputs), dtype, -bound, bound)


class Linear(eqx.Module):
    """x ↦ xW + b on the last axis."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + jnp.expand_dims(self.bias, range(x.ndim - 1))


class MLP(eqx.Module):
    """Linear layers with an activation between them, none after the last."""

    layers: tuple[Linear, ...]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[Array], Array],
    hidden_init: Initialiser,
    output_init: Initialiser,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> MLP:
    """Build an MLP with layer widths `sizes` (input first, output last) and zero biases."""
    inits = [hidden_init] * (len(sizes) - 2) + [output_init]
    keys = jr.split(key, len(inits))
    shapes = itertools.pairwise(sizes)
    layers = tuple(
        Linear(init(k, inputs, outputs, dtype), jnp.zeros(outputs, dtype))
        for init, k, (inputs, outputs) in zip(inits, keys, shapes, strict=True)
    )
    return MLP(layers, activation)
