"""An actor–critic whose policy and value are two heads on one trunk."""

import dataclasses
from typing import Any

import gymnasium as gym
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .actor_critic import SteppedActorCritic
from .build import Architecture, Std
from .distributions import AbstractEntropicDistribution
from .encoders import AbstractEncoder
from .policies import EntropicPolicy
from .values import StateValue


class SharedActorCritic(SteppedActorCritic):
    """Two heads, both of which read what the trunk makes of the observation."""

    trunk: AbstractEncoder
    actor: EntropicPolicy
    critic: StateValue

    def __call__(
        self, observation: Any, carry: Any
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"], Any]:
        features = self.trunk(observation)
        distribution, carry = self.actor(features, carry)
        return distribution, self.critic(features), carry

    def initial_carry(self) -> Any:
        return self.actor.initial_carry()


def shared_actor_critic(
    nets: Architecture, key: PRNGKeyArray, *, log_std: float, std: Std = "learned"
) -> SharedActorCritic:
    """The hidden layers of `nets`, on its convolutions, and two linear heads.

    Weights as those of `Architecture.actor` and `Architecture.state_value`: orthogonal, gain √2 in
    the trunk, 0.01 for the policy and 1 for the value.

    **Raises:** `ValueError` where there are neither hidden layers nor convolutions to share.
    """
    trunk_key, actor_key, critic_key = jr.split(key, 3)
    trunk = nets.trunk(trunk_key)
    features = gym.spaces.Box(-np.inf, np.inf, (trunk.size,))
    heads = dataclasses.replace(nets, observation_space=features, hidden=(), conv_channels=None)
    actor = heads.actor(actor_key, log_std=log_std, std=std)
    return SharedActorCritic(trunk, actor, heads.state_value(critic_key))
