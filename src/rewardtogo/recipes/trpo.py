"""TRPO: its networks, its rollouts, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.ppo import ActorCritic
from ..algorithms.trpo import TRPO
from ..nn.build import Activation
from ..worlds import AbstractWorld
from .ingredients import Ingredients, architecture, normalised


@dataclasses.dataclass(frozen=True, kw_only=True)
class TRPORecipe:
    """Trust-region policy optimisation: on-policy, discrete or continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete, gym.spaces.Box)

    algorithm: TRPO = TRPO()
    """Hyperparameters of the update."""
    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    num_steps: int = 256
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
        size = self.num_envs * self.num_steps
        if size % self.algorithm.num_minibatches:
            raise ValueError(
                f"`num_minibatches` ({self.algorithm.num_minibatches}) must divide num_envs × "
                f"num_steps = {size}."
            )
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


TUNED: Mapping[str, TRPORecipe] = {
    "CartPole-v1": TRPORecipe(num_envs=4, total_steps=100_000),
    # The reward's scale is far from one here, and as σ falls the Fisher matrix grows with 1/σ²:
    # less damping kept the seeds together.
    "Pendulum-v1": TRPORecipe(
        algorithm=TRPO(discount=0.9, damping=0.01),
        num_envs=4,
        num_steps=512,
        normalise_reward=True,
        total_steps=300_000,
    ),
}
