"""Off-policy policy gradient: its policy, its episodes, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from ..algorithms.off_policy_pg import OffPolicyPG
from ..nn.build import Activation, Initialisation, Std
from ..sources.task import AbstractTask
from .episodic import episodic
from .ingredients import ANY_ACTIONS, Ingredients


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyPGRecipe:
    """Off-policy policy gradient: several steps on each batch of whole episodes."""

    action_spaces: ClassVar = ANY_ACTIONS

    algorithm: OffPolicyPG = OffPolicyPG()
    """Hyperparameters of the update."""
    num_episodes: int = 16
    """Episodes in a batch."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None is the environment's own limit."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
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
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        least = 2 if self.algorithm.baseline else 1
        return episodic(self, task, self.algorithm, least_episodes=least)


TUNED: Mapping[str, OffPolicyPGRecipe] = {}
