"""From spaces and layer widths to policies and value functions."""

import dataclasses
import math
from typing import Any, Literal, get_args

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..spaces import action_mask, mask_problem, num_choices
from .conv import image_encoder, layer_channels
from .encoders import AbstractEncoder, Encoder, Trunk, encoder
from .masks import MaskedPolicy
from .mlp import ACTIVATIONS, MLP, Initialiser, fan_in_uniform, mlp, orthogonal
from .multi_discrete import MultiCategoricalPolicy
from .policies import (
    CategoricalPolicy,
    EntropicPolicy,
    FixedGaussianPolicy,
    GaussianPolicy,
    StateGaussianPolicy,
    TanhGaussianPolicy,
)
from .values import ActionValues, DuelingActionValues, StateValue, TwinActionValue, TwinActionValues


Activation = Literal["tanh", "relu", "elu", "gelu", "silu"]
Initialisation = Literal["orthogonal", "fan-in"]
Std = Literal["learned", "state", "fixed"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Fully connected networks between two spaces, on convolutions where images are seen.

    An image is a box of three axes: rows, columns, channels. `conv_channels` are the channels of
    its convolutions (`nn.conv`): None is what suits its size, and none at all flattens it.
    `initialisation` is that of `actor` and `state_value`: orthogonal weights, gain √2 and a gain
    of its own at the output, or "fan-in", uniform on ±1/√inputs in every layer, as in the others.

    **Raises:** `ValueError` for an empty layer, an observation that is neither a box nor discrete,
    a mask that does not fit the actions, or an image that is too small for its convolutions or
    has its channels first.
    """

    observation_space: gym.Space
    action_space: gym.Space
    hidden: tuple[int, ...]
    activation: str  # one of ACTIVATIONS
    dtype: Any = jnp.float32
    conv_channels: tuple[int, ...] | None = None
    initialisation: str = "orthogonal"  # or "fan-in"

    def __post_init__(self):
        for width in self.hidden:
            validate.count("hidden", width)
        validate.one_of("activation", self.activation, ACTIVATIONS)
        validate.one_of("initialisation", self.initialisation, get_args(Initialisation))
        encoder(self.observation_space)
        problem = mask_problem(self.observation_space, self.action_space)
        if problem is not None:
            raise ValueError(problem)
        layer_channels(self.observation_space, self.conv_channels)

    @property
    def action_size(self) -> int:
        """The number of choices of all discrete actions, or of dimensions of a continuous one."""
        choices = num_choices(self.action_space)
        if choices:
            return sum(choices)
        return math.prod(self.action_space.shape or ())

    def actor(self, key: PRNGKeyArray, *, log_std: float, std: str = "learned") -> EntropicPolicy:
        """A stochastic policy for PPO and its kin.

        Orthogonal weights have a gain of 0.01 at the output, so that it is nearly uniform at first;
        Andrychowicz et al. (2021), section 3.2. It keeps to the mask of an observation that has
        one.

        **Arguments:** `log_std`: log σ of a continuous policy at first. `std`: whether σ is a
        parameter for all states, the network's for each state, or fixed.
        """
        choices = num_choices(self.action_space)
        if not choices:
            return self._gaussian(key, log_std, std)
        encode, net = self._network(self.action_size, 0.01, key)
        policy = (
            CategoricalPolicy(encode, net)
            if isinstance(self.action_space, gym.spaces.Discrete)
            else MultiCategoricalPolicy(encode, net, choices)
        )
        mask = action_mask(self.observation_space)
        return policy if mask is None else MaskedPolicy(policy, mask)

    def _gaussian(self, key: PRNGKeyArray, log_std: float, std: str) -> EntropicPolicy:
        validate.one_of("std", std, get_args(Std))
        if std == "state":
            return self._state_gaussian(key, log_std)
        encode, net = self._network(self.action_size, 0.01, key)
        if std == "fixed":
            return FixedGaussianPolicy(encode, net, log_std)
        return GaussianPolicy(encode, net, jnp.full(self.action_size, log_std, self.dtype))

    def _state_gaussian(self, key: PRNGKeyArray, log_std: float) -> StateGaussianPolicy:
        """The bias of log σ at the output is what it is at first."""
        encode, net = self._network(2 * self.action_size, 0.01, key)
        bias = net.layers[-1].bias.at[self.action_size :].set(log_std)
        return StateGaussianPolicy(encode, eqx.tree_at(lambda n: n.layers[-1].bias, net, bias))

    def state_value(self, key: PRNGKeyArray) -> StateValue:
        """V(s); orthogonal weights have a gain of 1 at the output."""
        return StateValue(*self._network(1, 1.0, key))

    def trunk(self, key: PRNGKeyArray) -> AbstractEncoder:
        """All but the last layers of `actor` and of `state_value`, for networks that share them.

        **Raises:** `ValueError` where there are neither hidden layers nor convolutions.
        """
        if self.hidden:
            last = dataclasses.replace(self, hidden=self.hidden[:-1])
            return Trunk(*last._network(self.hidden[-1], 2**0.5, key))
        encode, key = self._encoder(self._initialisers(1.0)[0], key)
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

    def dueling_action_values(self, key: PRNGKeyArray) -> DuelingActionValues:
        """Q(s, ·) of discrete actions in two streams: the last hidden layer is one of each.

        The hidden layers before it, and convolutions, are shared.
        """
        encode, key = self._encoder(fan_in_uniform, key)
        trunk_key, value_key, advantage_key = jr.split(key, 3)
        if len(self.hidden) > 1:
            below = dataclasses.replace(self, hidden=self.hidden[:-2])
            sizes = (encode.size, self.hidden[-2])
            shared = below._mlp(*sizes, fan_in_uniform, fan_in_uniform, trunk_key)
            encode = Trunk(encode, shared)
        top = dataclasses.replace(self, hidden=self.hidden[-1:])
        stream = lambda outputs, key: top._mlp(
            encode.size, outputs, fan_in_uniform, fan_in_uniform, key
        )
        return DuelingActionValues(
            encode, stream(1, value_key), stream(self.action_size, advantage_key)
        )

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

    def _network(
        self, outputs: int, output_gain: float, key: PRNGKeyArray
    ) -> tuple[AbstractEncoder, MLP]:
        """An encoder and what follows it, initialised as asked for."""
        hidden, output = self._initialisers(output_gain)
        encode, key = self._encoder(hidden, key)
        return encode, self._mlp(encode.size, outputs, hidden, output, key)

    def _initialisers(self, output_gain: float) -> tuple[Initialiser, Initialiser]:
        """Of the layers before the last, and of the last."""
        if self.initialisation == "fan-in":
            return fan_in_uniform, fan_in_uniform
        return orthogonal(2**0.5), orthogonal(output_gain)

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
