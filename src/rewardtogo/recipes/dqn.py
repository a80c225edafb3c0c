"""DQN: its network, its replay, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.dqn import DQN, ValueLoss
from ..nn.build import Activation, Architecture
from ..nn.values import AbstractActionValues, MeanActionValues
from ..sources.prioritised import PrioritisedReplay
from ..sources.protocol import AbstractSource
from ..sources.replay import Replay
from ..sources.task import AbstractTask
from ..types import Scalar
from .ingredients import Ingredients
from .replays import off_policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNRecipe:
    """Deep Q-learning: off-policy, discrete actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete,)

    algorithm: DQN = DQN()
    """Hyperparameters of the update."""
    num_envs: int = 4
    """Environments stepped side by side, for each seed."""
    num_steps: int = 4
    """Steps of each environment from one round of updates to the next."""
    num_updates: int = 4
    """Updates in a round, each on a fresh minibatch."""
    batch_size: int = 64
    """Steps in a minibatch."""
    buffer_size: int = 100_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 1_000
    """Steps taken at random before the first update."""
    n_step: int = 1
    """Steps whose rewards a target sums before it bootstraps."""
    prioritised: bool = False
    """Draw steps the more often the larger their last error was."""
    priority_exponent: Scalar | None = None
    """α of prioritised: 0 draws uniformly, 1 in proportion to the error; 0.6 without one."""
    priority_offset: Scalar | None = None
    """ε of prioritised, added to the error, in units of return; 1e-6 without one."""
    importance_exponent: Scalar | None = None
    """β of prioritised at the first update: 1 undoes the draws' bias; 0.4 without one."""
    importance_updates: int | None = None
    """Updates over which β grows linearly to 1; 25,000 without a number."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "relu"
    """Nonlinearity between layers."""
    dueling: bool = False
    """Q from two streams, of the state's value and of advantages; the last layer is one of each."""
    normalise_observation: bool = False
    """Give the network observations of mean 0 and deviation 1."""
    total_steps: int = 100_000
    """Environment steps of each seed, warm-up included, rounded up to whole iterations."""

    def build(self, task: AbstractTask) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        validate.count("n_step", self.n_step)
        return off_policy(
            self,
            task,
            self.algorithm,
            self._models,
            discount=self.algorithm.discount,
            num_return_steps=self.n_step,
            drawn=self._drawn,
        )

    def _models(self, nets: Architecture, key: PRNGKeyArray) -> AbstractActionValues:
        """One network, or two that share nothing."""
        network = nets.dueling_action_values if self.dueling else nets.action_values
        if not self.algorithm.twin:
            return network(key)
        first, second = jr.split(key)
        return MeanActionValues((network(first), network(second)))

    def _drawn(self, replay: Replay) -> AbstractSource:
        """Uniformly, or by priorities."""
        names = (
            "priority_exponent",
            "priority_offset",
            "importance_exponent",
            "importance_updates",
        )
        given = {name: getattr(self, name) for name in names}
        if self.prioritised:
            return PrioritisedReplay(replay, **{k: v for k, v in given.items() if v is not None})
        for name, value in given.items():
            validate.unused(name, value, "prioritised replay")
        return replay


TUNED: Mapping[str, DQNRecipe] = {
    # A fall is rare and worth −100: the Huber loss with its usual δ = 1 holds such an error for an
    # outlier, values beyond the track's edge stay above 1/(1−γ), and the cart rolls off.
    "CartPole-v1": DQNRecipe(
        algorithm=DQN(
            target_period=128,
            epsilon_updates=4_000,
            epsilon_end=0.04,
            loss=ValueLoss.SQUARED,
            anneal_updates=50_000,
        ),
        num_envs=1,
        num_steps=256,
        num_updates=128,
        normalise_observation=True,
    ),
    # An update for every eight steps, on a flat network: convolutions cost several times as much.
    "MinAtar/Breakout-v1": DQNRecipe(
        algorithm=DQN(
            learning_rate=3e-4, target_period=250, epsilon_end=0.02, epsilon_updates=25_000
        ),
        num_envs=8,
        num_steps=8,
        num_updates=8,
        conv_channels=(),
        total_steps=2_000_000,
    ),
}
