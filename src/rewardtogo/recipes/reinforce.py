"""REINFORCE: its policy, its episodes, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.reinforce import OF_OTHERS, REINFORCE, Baseline
from ..algorithms.reinforce_baselines import WithBaseline, past_returns
from ..nn.build import Activation, Architecture
from ..nn.policies import EntropicPolicy
from ..worlds import AbstractWorld
from .ingredients import Ingredients, architecture


@dataclasses.dataclass(frozen=True, kw_only=True)
class REINFORCERecipe:
    """REINFORCE: on-policy, whole episodes, discrete or continuous actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete, gym.spaces.Box)

    algorithm: REINFORCE = REINFORCE()
    """Hyperparameters of the update."""
    num_episodes: int = 16
    """Episodes in a batch."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None is the environment's own limit."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the policy and of a learned baseline alike."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    total_steps: int = 500_000
    """Environment steps of each seed, rounded up to whole iterations."""

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        least = 2 if self.algorithm.baseline in OF_OTHERS else 1
        validate.count("num_episodes", self.num_episodes, least=least)
        validate.in_interval("initial_log_std", self.initial_log_std, -20.0, 5.0)
        max_steps = self.max_episode_steps or world.max_steps
        if max_steps is None:
            raise ValueError(
                f"{world.name} has no limit on an episode's steps; set `max_episode_steps`."
            )
        validate.count("max_episode_steps", max_steps)
        nets = architecture(world, self.hidden, self.activation, self.conv_channels)
        models = lambda key: self._models(nets, max_steps, key)
        return Ingredients(self.algorithm, world.episodes(self.num_episodes, max_steps), models)

    def _models(
        self, nets: Architecture, max_steps: int, key: PRNGKeyArray
    ) -> EntropicPolicy | WithBaseline:
        """The policy, and what its baseline starts from where that is something."""
        match self.algorithm.baseline:
            case Baseline.LEARNED:
                key, critic_key = jr.split(key)
                baseline = nets.state_value(critic_key)
            case Baseline.PAST_MEAN_BY_TIME:
                baseline = past_returns((max_steps,))
            case _:
                return nets.actor(key, log_std=self.initial_log_std)
        return WithBaseline(nets.actor(key, log_std=self.initial_log_std), baseline)


TUNED: Mapping[str, REINFORCERecipe] = {
    "tabular:FrozenLake-v1": REINFORCERecipe(algorithm=REINFORCE(entropy_coef=0.01)),
}
