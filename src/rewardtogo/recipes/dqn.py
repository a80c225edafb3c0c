"""DQN: its network, its replay, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..algorithms.dqn import DQN, ValueLoss
from ..nn.build import Activation, Architecture
from ..nn.values import AbstractActionValues, MeanActionValues
from ..worlds import AbstractWorld
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

    def build(self, world: AbstractWorld) -> Ingredients:
        """Raises `ValueError` where the settings do not fit the environment or each other."""
        return off_policy(
            self,
            world,
            self.algorithm,
            self._models,
            discount=self.algorithm.discount,
        )

    def _models(self, nets: Architecture, key: PRNGKeyArray) -> AbstractActionValues:
        """One network, or two that share nothing."""
        network = nets.dueling_action_values if self.dueling else nets.action_values
        if not self.algorithm.twin:
            return network(key)
        first, second = jr.split(key)
        return MeanActionValues((network(first), network(second)))


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
        algorithm=DQN(target_period=250, epsilon_end=0.02, epsilon_updates=25_000),
        num_envs=8,
        num_steps=8,
        num_updates=8,
        conv_channels=(),
        total_steps=2_000_000,
    ),
}
