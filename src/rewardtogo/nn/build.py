"""From spaces and layer widths to policies and value functions."""

import dataclasses
import math
from typing import Any, Literal

import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from .conv import image_encoder, layer_channels
from .encoders import AbstractEncoder, Encoder, Trunk, encoder
from .mlp import ACTIVATIONS, MLP, Initialiser, fan_in_uniform, mlp, orthogonal
from .policies import CategoricalPolicy, EntropicPolicy, GaussianPolicy, TanhGaussianPolicy
from .values import ActionValues, StateValue, TwinActionValue, TwinActionValues


Activation = Literal["tanh", "relu", "elu", "gelu", "silu"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Fully connected networks between two spaces, on convolutions where images are seen.

    An image is a box of three axes: rows, columns, channels. `conv_channels` are the channels of
    its convolutions (`nn.conv`): None is what suits its size, and none at all flattens it.

    **Raises:** `ValueError` for an empty layer, a space that is neither a box nor discrete, or an
    image that is too small for its convolutions or has its channels first.
    """

    observation_space: gym.Space
    action_space: gym.Space
    hidden: tuple[int, ...]
    activation: str  # one of ACTIVATIONS
    dtype: Any = jnp.float32
    conv_channels: tuple[int, ...] | None = None

    def __post_init__(self):
        for width in self.hidden:
            validate.count("hidden", width)
        validate.one_of("activation", self.activation, ACTIVATIONS)
        encoder(self.observation_space)
        layer_channels(self.observation_space, self.conv_channels)

    @property
    def action_size(self) -> int:
        """The number of discrete actions, or of dimensions of a continuous one."""
        if isinstance(self.action_space, gym.spaces.Discrete):
            return int(self.action_space.n)
        return math.prod(self.action_space.shape or ())

    def actor(self, key: PRNGKeyArray, *, log_std: float) -> EntropicPolicy:
        """A stochastic policy for PPO and its kin: nearly uniform at first.

        Orthogonal weights, gain √2 and 0.01 at the output; Andrychowicz et al. (2021), section 3.2.
        """
        encode, key = self._encoder(orthogonal(2**0.5), key)
        net = self._mlp(encode.size, self.action_size, orthogonal(2**0.5), orthogonal(0.01), key)
        if isinstance(self.action_space, gym.spaces.Discrete):
            return CategoricalPolicy(encode, net)
        return GaussianPolicy(encode, net, jnp.full(self.action_size, log_std, self.dtype))

    def state_value(self, key: PRNGKeyArray) -> StateValue:
        """V(s), orthogonal weights, gain √2 and 1 at the output."""
        encode, key = self._encoder(orthogonal(2**0.5), key)
        return StateValue(
            encode, self._mlp(encode.size, 1, orthogonal(2**0.5), orthogonal(1.0), key)
        )

    def trunk(self, key: PRNGKeyArray) -> AbstractEncoder:
        """All but the last layers of `actor` and of `state_value`, for networks that share them.

        **Raises:** `ValueError` where there are neither hidden layers nor convolutions.
        """
        encode, key = self._encoder(orthogonal(2**0.5), key)
        if self.hidden:
            last = dataclasses.replace(self, hidden=self.hidden[:-1])
            gain = orthogonal(2**0.5)
            return Trunk(encode, last._mlp(encode.size, self.hidden[-1], gain, gain, key))
        if isinstance(encode, Encoder):
            raise ValueError(
                "A shared trunk needs layers: `hidden` is empty, and there are no convolutions."
            )
        return encode

    def action_values(self, key: PRNGKeyArray) -> ActionValues:
        """Q(s, ·) of discrete actions."""
        encode, key = self._encoder(fan_in_uniform, key)
        sizes = (encode.size, self.action_size)
        return ActionValues(encode, self._mlp(*sizes, fan_in_uniform, fan_in_uniform, key))

    def squashed_actor(self, key: PRNGKeyArray) -> TanhGaussianPolicy:
        """A policy on (−1, 1) whose mean and log σ both depend on the state."""
        encode, key = self._encoder(fan_in_uniform, key)
        sizes = (encode.size, 2 * self.action_size)
        net = self._mlp(*sizes, fan_in_uniform, fan_in_uniform, key)
        return TanhGaussianPolicy(encode, net)

    def twin_values(self, key: PRNGKeyArray) -> TwinActionValue:
        """Two independent Q(s, a) of continuous actions, on one trunk of convolutions."""
        encode, key = self._encoder(fan_in_uniform, key)
        return TwinActionValue(encode, self._twins(encode.size + self.action_size, 1, key))

    def twin_action_values(self, key: PRNGKeyArray) -> TwinActionValues:
        """Two independent Q(s, ·) of discrete actions, on one trunk of convolutions."""
        encode, key = self._encoder(fan_in_uniform, key)
        return TwinActionValues(encode, self._twins(encode.size, self.action_size, key))

    def _twins(self, inputs: int, outputs: int, key: PRNGKeyArray) -> tuple[MLP, MLP]:
        one = lambda key: self._mlp(inputs, outputs, fan_in_uniform, fan_in_uniform, key)
        first, second = jr.split(key)
        return one(first), one(second)

    def _encoder(
        self, initialise: Initialiser, key: PRNGKeyArray
    ) -> tuple[AbstractEncoder, PRNGKeyArray]:
        """What reads the observation, and a key for what comes after it."""
        space = self.observation_space
        channels = layer_channels(space, self.conv_channels)
        if not (channels and isinstance(space, gym.spaces.Box)):
            return encoder(space, dtype=self.dtype), key
        trunk_key, key = jr.split(key)
        trunk = image_encoder(
            space, channels, initialise=initialise, key=trunk_key, dtype=self.dtype
        )
        return trunk, key

    def _mlp(
        self,
        inputs: int,
        outputs: int,
        hidden_init: Initialiser,
        output_init: Initialiser,
        key: PRNGKeyArray,
    ) -> MLP:
        return mlp(
            (inputs, *self.hidden, outputs),
            activation=ACTIVATIONS[self.activation],
            hidden_init=hidden_init,
            output_init=output_init,
            key=key,
            dtype=self.dtype,
        )
