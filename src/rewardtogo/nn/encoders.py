"""From an observation, as the environment gives it, to the vector a network reads."""

import abc
import math
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .mlp import MLP


class AbstractEncoder(eqx.Module):
    """From observations with any leading axes to vectors, `[*batch, size]`."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Length of the encoded vector."""

    @abc.abstractmethod
    def __call__(self, observation: Array) -> Float[Array, "*batch size"]:
        """The vectors that a network reads."""


class Encoder(AbstractEncoder):
    """Flattens a box; turns a discrete observation into a one-hot vector.

    Whatever the leading axes, the result is `[*batch, size]` in `dtype`.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    categories: int | None = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Length of the encoded vector."""
        return math.prod(self.shape) if self.categories is None else self.categories

    def __call__(self, observation: Array) -> Float[Array, "*batch size"]:
        if self.categories is not None:
            return jax.nn.one_hot(observation, self.categories, dtype=self.dtype)
        batch = observation.shape[: observation.ndim - len(self.shape)]
        return observation.reshape(*batch, self.size).astype(self.dtype)


class Trunk(AbstractEncoder):
    """Layers after an encoder, with an activation after the last one too."""

    encoder: AbstractEncoder
    layers: MLP

    @property
    def size(self) -> int:
        """Width of the last layer."""
        return self.layers.layers[-1].bias.size

    def __call__(self, observation: Array) -> Float[Array, "*batch size"]:
        return self.layers.activation(self.layers(self.encoder(observation)))


def encoder(space: gym.Space, *, dtype: Any = jnp.float32) -> Encoder:
    """The encoder of an observation space; raises `ValueError` unless it is a box or discrete."""
    if isinstance(space, gym.spaces.Box):
        return Encoder(space.shape, None, dtype)
    if isinstance(space, gym.spaces.Discrete):
        return Encoder((), int(space.n), dtype)
    raise ValueError(f"Observation spaces may be `Box` or `Discrete`; got {space}.")
