"""Value functions: of a state, of every action, of a state and an action."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .encoders import AbstractEncoder
from .mlp import MLP


class StateValue(eqx.Module):
    """V_φ(s)."""

    encoder: AbstractEncoder
    value: MLP

    def __call__(self, observation: Any) -> Float[Array, "*batch"]:
        return self.value(self.encoder(observation))[..., 0]


class AbstractActionValues(eqx.Module):
    """Q_φ(s, ·): one value an action."""

    @abc.abstractmethod
    def __call__(self, observation: Any) -> Float[Array, "*batch actions"]:
        """The values of all actions."""


class ActionValues(AbstractActionValues):
    """Q_φ(s, ·) from one network."""

    encoder: AbstractEncoder
    values: MLP

    def __call__(self, observation: Any) -> Float[Array, "*batch actions"]:
        return self.values(self.encoder(observation))


class DuelingActionValues(AbstractActionValues):
    r"""$Q_\phi(s, a) = V_\phi(s) + A_\phi(s, a) - \frac1{|A|}\sum_{a'} A_\phi(s, a')$.

    Wang et al. (2016), *Dueling Network Architectures*, eq. 9: two streams read one encoder. The
    mean that is taken off makes V the mean of Q over actions, and not the value of any policy.
    """

    encoder: AbstractEncoder
    value: MLP
    advantages: MLP

    def __call__(self, observation: Any) -> Float[Array, "*batch actions"]:
        x = self.encoder(observation)
        advantages = self.advantages(x)
        return self.value(x) + advantages - jnp.mean(advantages, axis=-1, keepdims=True)


class MeanActionValues(AbstractActionValues):
    """The mean of several Q_φ(s, ·), which share nothing."""

    networks: tuple[AbstractActionValues, ...]

    def __call__(self, observation: Any) -> Float[Array, "*batch actions"]:
        return jnp.mean(jnp.stack([network(observation) for network in self.networks]), axis=0)


class TwinActionValue(eqx.Module):
    """Two independent Q_φ(s, a) of a continuous action.

    Two networks, not one with a leading axis of two: on a CPU batched products take twice as long.
    Of an image both read the same convolutions, as Yarats et al. (2021), *Improving Sample
    Efficiency in Model-Free Reinforcement Learning from Images*, have it.
    """

    encoder: AbstractEncoder
    values: tuple[MLP, MLP]

    def __call__(
        self, observation: Any, action: Float[Array, "*batch action"]
    ) -> Float[Array, "2 *batch"]:
        x = jnp.concatenate([self.encoder(observation), action], axis=-1)
        return jnp.stack([value(x)[..., 0] for value in self.values])


class TwinActionValues(eqx.Module):
    """Two independent Q_φ(s, ·), one value an action; they share what `TwinActionValue` shares."""

    encoder: AbstractEncoder
    values: tuple[MLP, MLP]

    def __call__(self, observation: Any) -> Float[Array, "2 *batch actions"]:
        x = self.encoder(observation)
        return jnp.stack([value(x) for value in self.values])
