"""SAC of discrete actions: its networks, its replay, its settings by environment."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from ..nn.build import Activation, Architecture
from ..nn.policies import CategoricalPolicy
from ..sources.task import AbstractTask
from .ingredients import Ingredients
from .replays import off_policy


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteSACRecipe:
    """Soft actor–critic: off-policy, discrete actions."""

    action_spaces: ClassVar = (gym.spaces.Discrete,)

    algorithm: DiscreteSAC = DiscreteSAC()
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
            elsewhere="`sac` takes continuous actions.",
        )


def _models(nets: Architecture, key: PRNGKeyArray) -> CategoricalTwinCritic:
    actor_key, critic_key = jr.split(key)
    head = nets.action_values(actor_key)  # one output an action: here its logit
    actor = CategoricalPolicy(head.encoder, head.values)
    return CategoricalTwinCritic(actor, nets.twin_action_values(critic_key))


TUNED: Mapping[str, DiscreteSACRecipe] = {
    # Updates are fewer than steps: with the usual ρ values are still half of what they should be
    # at the end.
    "CartPole-v1": DiscreteSACRecipe(
        algorithm=DiscreteSAC(learning_rate=1e-3, polyak_rate=0.02), normalise_observation=True
    ),
}
