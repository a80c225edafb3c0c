"""One-step actor–critic: its networks, its steps, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from ..algorithms.actor_critic import OneStepActorCritic
from ..nn.build import Activation, Initialisation, Std
from ..sources.task import AbstractTask
from .ingredients import ANY_ACTIONS, Ingredients
from .rollouts import actor_critic


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorCriticRecipe:
    """One-step actor–critic: an update after every step; discrete or continuous actions."""

    action_spaces: ClassVar = ANY_ACTIONS

    algorithm: OneStepActorCritic = OneStepActorCritic()
    """Hyperparameters of the update."""
    num_envs: int = 1
    """Environments stepped side by side, for each seed; an update is their mean."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of policy and value function alike."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    initialisation: Initialisation = "orthogonal"
    """Weights at first: orthogonal, the policy nearly uniform, or fan-in, uniform on ±1/√inputs."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    std: Std = "learned"
    """σ of a continuous policy: learned for all states, from the network by state, or fixed."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    normalise_reward: bool = False
    """Divide rewards by the deviation of the discounted return."""
    total_steps: int = 200_000
    """Environment steps of each seed, rounded up to whole iterations."""

    @property
    def num_steps(self) -> int:
        """What was seen is learned before the next step."""
        return 1

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        return actor_critic(
            self,
            task,
            self.algorithm,
            discount=self.algorithm.discount,
        )


TUNED: Mapping[str, ActorCriticRecipe] = {
    "tabular:FrozenLake-v1": ActorCriticRecipe(algorithm=OneStepActorCritic(entropy_coef=0.01)),
}
