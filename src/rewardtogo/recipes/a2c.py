"""A2C: its networks, its rollouts, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.a2c import A2C
from ..algorithms.ppo import ActorCritic
from ..nn.build import Activation
from ..worlds import AbstractWorld
from .ingredients import Ingredients, architecture, normalised


@dataclasses.dataclass(frozen=True, kw_only=True)
class A2CRecipe:
    """Batch advantage actor–critic: on-policy, discrete or continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete, gym.spaces.Box)

    algorithm: A2C = A2C()
    """Hyperparameters of the update."""
    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    num_steps: int = 16
    """Steps of each environment in a rollout."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of policy and value function alike."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    normalise_reward: bool = False
    """Divide rewards by the deviation of the discounted return."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        validate.count("num_envs", self.num_envs)
        validate.count("num_steps", self.num_steps)
        validate.in_interval("initial_log_std", self.initial_log_std, -20.0, 5.0)
        nets = architecture(world, self.hidden, self.activation)
        algorithm = normalised(
            self.algorithm,
            world,
            num_envs=self.num_envs,
            observations=self.normalise_observation,
            rewards=self.normalise_reward,
            discount=self.algorithm.discount,
        )

        def models(key: PRNGKeyArray) -> ActorCritic:
            actor_key, critic_key = jr.split(key)
            actor = nets.actor(actor_key, log_std=self.initial_log_std)
            return ActorCritic(actor, nets.state_value(critic_key))

        return Ingredients(algorithm, world.rollout(self.num_envs, self.num_steps), models)


TUNED: Mapping[str, A2CRecipe] = {}
