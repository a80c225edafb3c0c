"""REINFORCE: its policy, its episodes, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from .. import validate
from ..algorithms.reinforce import REINFORCE, Baseline
from ..nn.build import Activation, Std
from ..worlds import AbstractWorld
from .ingredients import ANY_ACTIONS, Ingredients, architecture, require_std


@dataclasses.dataclass(frozen=True, kw_only=True)
class REINFORCERecipe:
    """REINFORCE: on-policy, whole episodes, discrete or continuous actions."""

    action_spaces: ClassVar = ANY_ACTIONS

    algorithm: REINFORCE = REINFORCE()
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
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    std: Std = "learned"
    """σ of a continuous policy: learned for all states, from the network by state, or fixed."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        of_others = self.algorithm.baseline in (Baseline.LEAVE_ONE_OUT, Baseline.OPTIMAL)
        validate.count("num_episodes", self.num_episodes, least=2 if of_others else 1)
        require_std(self.std, self.initial_log_std)
        max_steps = self.max_episode_steps or world.max_steps
        if max_steps is None:
            raise ValueError(
                f"{world.name} has no limit on an episode's steps; set `max_episode_steps`."
            )
        validate.count("max_episode_steps", max_steps)
        nets = architecture(world, self.hidden, self.activation, self.conv_channels)
        models = lambda key: nets.actor(key, log_std=self.initial_log_std, std=self.std)
        return Ingredients(self.algorithm, world.episodes(self.num_episodes, max_steps), models)


TUNED: Mapping[str, REINFORCERecipe] = {
    "tabular:FrozenLake-v1": REINFORCERecipe(algorithm=REINFORCE(entropy_coef=0.01)),
}
