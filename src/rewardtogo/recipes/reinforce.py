"""REINFORCE: its policy, its episodes, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..algorithms.reinforce import OF_OTHERS, REINFORCE, Baseline
from ..algorithms.reinforce_baselines import WithBaseline, past_returns
from ..nn.build import Activation, Architecture, Initialisation, Std
from ..nn.policies import EntropicPolicy
from ..sources.task import AbstractTask
from .episodic import Actor, episodic
from .ingredients import ANY_ACTIONS, Ingredients


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
    """Widths of the hidden layers, of the policy and of a learned baseline alike."""
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
        least = 2 if self.algorithm.baseline in OF_OTHERS else 1
        return episodic(self, task, self.algorithm, least_episodes=least, models=self._models)

    def _models(
        self, actor: Actor, nets: Architecture, max_steps: int, key: PRNGKeyArray
    ) -> EntropicPolicy | WithBaseline:
        """The policy, and what its baseline starts from where that is something."""
        match self.algorithm.baseline:
            case Baseline.LEARNED:
                key, critic_key = jr.split(key)
                baseline = nets.state_value(critic_key)
            case Baseline.PAST_MEAN_BY_TIME:
                baseline = past_returns((max_steps,))
            case _:
                return actor(key)
        return WithBaseline(actor(key), baseline)


TUNED: Mapping[str, REINFORCERecipe] = {
    "tabular:FrozenLake-v1": REINFORCERecipe(algorithm=REINFORCE(entropy_coef=0.01)),
}
