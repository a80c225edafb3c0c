"""SAC: its networks, its replay, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..algorithms.sac import SAC, ActorTwinCritic
from ..nn.build import Activation, Architecture
from ..sources.task import AbstractTask
from .ingredients import Ingredients
from .replays import off_policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACRecipe:
    """Soft actor–critic: off-policy, continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Box,)

    algorithm: SAC = SAC()
    """Hyperparameters of the update."""
    num_envs: int = 1
    """Environments stepped side by side, for each seed."""
    num_steps: int = 1
    """Steps of each environment from one round of updates to the next."""
    num_updates: int = 1
    """Updates in a round, each on a fresh minibatch."""
    batch_size: int = 256
    """Steps in a minibatch."""
    buffer_size: int = 1_000_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 1_000
    """Steps taken at random before the first update."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers, of policy and value functions alike."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "relu"
    """Nonlinearity between layers."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    total_steps: int = 100_000
    """Environment steps of each seed, warm-up included, rounded up to whole iterations."""

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        return off_policy(
            self,
            task,
            self.algorithm,
            _models,
            discount=self.algorithm.discount,
            elsewhere="`discrete-sac` takes discrete actions.",
        )


def _models(nets: Architecture, key: PRNGKeyArray) -> ActorTwinCritic:
    actor_key, critic_key = jr.split(key)
    return ActorTwinCritic(nets.squashed_actor(actor_key), nets.twin_values(critic_key))


TUNED: Mapping[str, SACRecipe] = {
    "Pendulum-v1": SACRecipe(
        algorithm=SAC(learning_rate=1e-3), buffer_size=20_000, total_steps=20_000
    ),
}
