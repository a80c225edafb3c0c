"""Convolutions for images: from rows, columns and channels to the vector that an MLP reads."""

from typing import Any, TypeGuard

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .. import validate
from .encoders import AbstractEncoder
from .mlp import Initialiser


SMALL, LARGE = (16,), (32, 64, 64)
"""Channels of the layers; Young and Tian (2019), *MinAtar*, and Mnih et al. (2015), methods."""

LARGE_SIDE = 36
"""Images with both sides this long are large: below it, LARGE has nothing left at its end."""

# Kernel and stride of each layer; a layer beyond the last is like the last.
_SMALL_LAYERS, _LARGE_LAYERS = ((3, 1),), ((8, 4), (4, 2), (3, 1))


class Conv(eqx.Module):
    r"""A convolution without padding, stride $d$, over any leading axes.

    $$y_{ijo} = b_o + \sum_{u,v,c} W_{uvco}\, x_{di+u,\,dj+v,\,c}$$
    """

    weight: Float[Array, "kernel kernel inputs outputs"]
    bias: Float[Array, " outputs"]
    stride: int = eqx.field(static=True)

    def __call__(
        self, x: Float[Array, "*batch rows columns inputs"]
    ) -> Float[Array, "*batch fewer_rows fewer_columns outputs"]:
        # Patches and one product, not `lax.conv_general_dilated`. On two cores, 10×10×4 to 16
        # channels, forward and backward: 0.8 against 1.0 ms for 128 images; for 8 seeds under
        # `vmap`, where XLA makes a grouped convolution, 11 against 19. For 4 images 44 against
        # 47 µs; 8 seeds 0.4 against 1.4 ms. LARGE on 84×84×4 is a fourth slower for one seed and
        # 32 images (45 against 36 ms), and twice as fast for two seeds.
        kernel, _, inputs, outputs = self.weight.shape
        rows, columns = (fewer(size, kernel, self.stride) for size in x.shape[-3:-1])
        down, across = (self.stride * (count - 1) + 1 for count in (rows, columns))
        shifted = [
            x[..., i : i + down : self.stride, j : j + across : self.stride, :]
            for i in range(kernel)
            for j in range(kernel)
        ]
        patches = jnp.concatenate(shifted, axis=-1)
        y = patches @ self.weight.reshape(kernel * kernel * inputs, outputs)
        return y + jnp.expand_dims(self.bias, range(y.ndim - 1))


class ImageEncoder(AbstractEncoder):
    """Convolutions with a ReLU after each, then flattened.

    Whole numbers are divided by `brightest`, so bytes may stay bytes until here; booleans and
    floats are taken as they are.
    """

    convolutions: tuple[Conv, ...]
    shape: tuple[int, int, int] = eqx.field(static=True)
    brightest: float = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Length of the encoded vector."""
        rows, columns, channels = self.shape
        for layer in self.convolutions:
            kernel, _, _, channels = layer.weight.shape
            rows, columns = (fewer(size, kernel, layer.stride) for size in (rows, columns))
        return rows * columns * channels

    def __call__(
        self, observation: Shaped[Array, "*batch rows columns channels"]
    ) -> Float[Array, "*batch size"]:
        x = observation.astype(self.dtype)
        if jnp.issubdtype(observation.dtype, jnp.integer):
            x = x / self.brightest
        for layer in self.convolutions:
            x = jax.nn.relu(layer(x))
        return x.reshape(*x.shape[:-3], -1)


def fewer(size: int, kernel: int, stride: int) -> int:
    """How often a kernel fits along a side."""
    return (size - kernel) // stride + 1


def is_image(space: gym.Space) -> TypeGuard[gym.spaces.Box]:
    """Whether `space` is a box of rows, columns and channels with room for a kernel of 3×3.

    **Raises:** `ValueError` where the first of three axes looks like the channels.
    """
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 3:
        return False
    first, second, last = space.shape
    if first < second == last:
        raise ValueError(
            f"An image's channels must be its last axis; {space} seems to have them first. Move "
            "them in the environment (`numpy.moveaxis(image, 0, -1)`, in Gymnasium by "
            "`gymnasium.wrappers.TransformObservation`), or have it flattened by empty "
            "`conv_channels`."
        )
    return min(first, second) >= _SMALL_LAYERS[0][0]


def layer_channels(space: gym.Space, channels: tuple[int, ...] | None) -> tuple[int, ...]:
    """The channels of each layer: those asked for, or for None what suits the image's size.

    None at all where `space` is no image, or `channels` is empty.

    **Raises:** `ValueError` for an empty layer, more layers than the image has room for, or an
    image with its channels first.
    """
    for count in channels or ():
        validate.count("conv_channels", count)
    if channels == () or not is_image(space):
        return ()
    rows, columns, _ = space.shape
    large = min(rows, columns) >= LARGE_SIDE
    chosen = (LARGE if large else SMALL) if channels is None else channels
    sides = [rows, columns]
    for kernel, stride in _layers(space, len(chosen)):
        if min(sides) < kernel:
            raise ValueError(
                f"`conv_channels` {chosen} has too many layers for an image of {rows}×{columns}: "
                f"a kernel of {kernel}×{kernel} does not fit the {sides[0]}×{sides[1]} left."
            )
        sides = [fewer(size, kernel, stride) for size in sides]
    return chosen


def image_encoder(
    space: gym.spaces.Box,
    channels: tuple[int, ...],
    *,
    initialise: Initialiser,
    key: PRNGKeyArray,
    dtype: Any = jnp.float32,
) -> ImageEncoder:
    """Build the convolutions for an image, with zero biases.

    Kernels and strides are 3×3 by 1; where both sides are at least 36 long, 8×8 by 4, 4×4 by 2,
    then 3×3 by 1, as in Mnih et al. (2015), methods, "Model architecture".

    **Arguments:** `channels`: one number a layer, as `layer_channels` returns them.
    """
    rows, columns, inputs = space.shape
    convolutions = []
    layers = zip(_layers(space, len(channels)), channels, strict=True)
    for (kernel, stride), outputs in layers:
        key, layer_key = jr.split(key)
        weight = initialise(layer_key, kernel * kernel * inputs, outputs, dtype)
        weight = weight.reshape(kernel, kernel, inputs, outputs)
        convolutions.append(Conv(weight, jnp.zeros(outputs, dtype), stride))
        inputs = outputs
    brightest = max(float(np.max(space.high)), 1.0) if space.dtype == np.uint8 else 1.0
    return ImageEncoder(tuple(convolutions), (rows, columns, space.shape[2]), brightest, dtype)


def _layers(space: gym.spaces.Box, number: int) -> list[tuple[int, int]]:
    table = _LARGE_LAYERS if min(space.shape[:2]) >= LARGE_SIDE else _SMALL_LAYERS
    return [table[min(i, len(table) - 1)] for i in range(number)]
