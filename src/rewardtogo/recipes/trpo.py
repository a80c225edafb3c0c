"""TRPO: its networks, its rollouts, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from ..algorithms.trpo import TRPO
from ..nn.build import Activation, Initialisation, Std
from ..sources.task import AbstractTask
from .ingredients import ANY_ACTIONS, Ingredients
from .rollouts import actor_critic


@dataclasses.dataclass(frozen=True, kw_only=True)
class TRPORecipe:
    """Trust-region policy optimisation: on-policy, discrete or continuous actions."""

    action_spaces: ClassVar = ANY_ACTIONS

    algorithm: TRPO = TRPO()
    """Hyperparameters of the update."""
    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    num_steps: int = 256
    """Steps of each environment in a rollout."""
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
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        return actor_critic(
            self,
            task,
            self.algorithm,
            discount=self.algorithm.discount,
            num_minibatches=self.algorithm.num_minibatches,
        )


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
