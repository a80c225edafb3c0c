"""Value functions: of a state, of every action, of a state and an action."""

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


class ActionValues(eqx.Module):
    """Q_φ(s, ·): one value an action."""

    encoder: AbstractEncoder
    values: MLP

    def __call__(self, observation: Any) -> Float[Array, "*batch actions"]:
        return self.values(self.encoder(observation))


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
