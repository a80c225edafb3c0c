"""What a recipe is, and the fields that recipes share.

A recipe is an algorithm's hyperparameters together with its networks and its source of batches.
Every field is a flag of `rtg train`, its docstring the flag's help.
"""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym

from ..nn.build import Activation, Initialisation, Std
from ..sources.task import AbstractTask
from ..training.evaluate import AbstractEvaluator, GreedyReturn
from ..training.loop import Loop
from ..types import AbstractShared


ANY_ACTIONS = (
    gym.spaces.Discrete,
    gym.spaces.MultiDiscrete,
    gym.spaces.MultiBinary,
    gym.spaces.Box,
)
"""What an algorithm takes that asks nothing of a policy but its log-probability."""


class Phase(NamedTuple):
    """A stretch of a run with one loop; the next one goes on with what its learner has learned."""

    loop: Loop
    total: int  # progress of each seed at its end, in the unit of the loop's collector


@dataclasses.dataclass(frozen=True, kw_only=True)
class AbstractRecipe(abc.ABC):
    """What a run is made of."""

    name: ClassVar[str]
    """What `rtg train` calls it."""
    action_spaces: ClassVar[tuple[type[gym.Space], ...]] = ()
    """The kinds of actions that it takes; none where it needs no environment."""

    total_steps: int = 500_000
    """Environment steps of each seed, warm-up included, rounded up to whole iterations."""

    @abc.abstractmethod
    def phases(self, task: AbstractTask | None, data: AbstractShared | None) -> tuple[Phase, ...]:
        """One loop after another, built for the run's environment and data, where it has them.

        **Raises:** `ValueError` where the settings do not fit the environment or each other.
        """

    @abc.abstractmethod
    def evaluator(self, data: AbstractShared | None) -> AbstractEvaluator:
        """What is measured of what was learned."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActingRecipe(AbstractRecipe):
    """A recipe of an algorithm that gathers its own experience."""

    algorithm: Any = None
    """Hyperparameters of the update."""

    @abc.abstractmethod
    def build(self, task: AbstractTask) -> Loop:
        """The loop of the one phase; raises `ValueError` where the settings do not fit."""

    def phases(self, task: AbstractTask | None, data: AbstractShared | None) -> tuple[Phase, ...]:
        """One phase, in the environment."""
        if task is None:
            raise ValueError(f"{self.name} learns in an environment: name one.")
        if data is not None:
            raise ValueError(f"{self.name} gathers its own experience: it takes no `data`.")
        return (Phase(self.build(task), self.total_steps),)

    def evaluator(self, data: AbstractShared | None) -> AbstractEvaluator:
        """The return of the policy's mode."""
        del data
        return GreedyReturn(self.algorithm.discount)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecipe(ActingRecipe):
    """The networks of policies and values."""

    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of policy and value function alike."""
    conv_channels: tuple[int, ...] | None = None
    """Channels of convolutions before them, of an image; None suits its size, empty flattens it."""
    activation: Activation = "tanh"
    """Nonlinearity between layers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyRecipe(NetworkRecipe):
    """How a stochastic policy begins."""

    initialisation: Initialisation = "orthogonal"
    """Weights at first: orthogonal, the policy nearly uniform, or fan-in, uniform on ±1/√inputs."""
    initial_log_std: float = 0.0
    """log σ of a continuous policy before training, in units of half the action range."""
    std: Std = "learned"
    """σ of a continuous policy: learned for all states, from the network by state, or fixed."""
