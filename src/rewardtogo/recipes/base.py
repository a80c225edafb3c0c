"""What a recipe is, and the fields that recipes share.

A recipe is an algorithm's hyperparameters together with its networks and its source of batches.
Every field is a flag of `rtg train`, its docstring the flag's help.
"""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple, get_args

import gymnasium as gym

from .. import validate
from ..algorithms.normalised import Normalised
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture, Initialisation, Std
from ..nn.policies import LOG_STD_RANGE
from ..sources.task import AbstractTask
from ..spaces import ACTION_MASK, action_mask
from ..training.evaluators import AbstractEvaluator, GreedyReturn
from ..training.loop import Loop
from ..types import AbstractShared, Scalar


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


_NO_STD = ("learned", 0.0)  # what the options are if nobody set them


def require_actions(
    algorithm: str, task: AbstractTask, kinds: tuple[type[gym.Space], ...], elsewhere: str = ""
) -> None:
    """Raise `ValueError` unless the actions are of a kind that the algorithm takes, all of them."""
    if not isinstance(task.action_space, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{algorithm} needs a {names} action space; {task.name} has "
            f"{task.raw_action_space}. {elsewhere}".rstrip()
        )
    if action_mask(task.observation_space) is not None:
        raise ValueError(
            f"{algorithm} cannot keep to the `{ACTION_MASK}` of {task.name}; a2c, "
            "actor-critic, npg, off-policy-pg, ppo, reinforce and trpo can."
        )


def require_std(std: str, initial_log_std: float, task: AbstractTask) -> None:
    """Raise `ValueError` unless a Gaussian policy may have such a σ, and there is one."""
    validate.one_of("std", std, get_args(Std))
    if not isinstance(task.action_space, gym.spaces.Box) and (std, initial_log_std) != _NO_STD:
        raise ValueError(
            f"`std` ({std}) and `initial_log_std` ({initial_log_std}) are for continuous actions; "
            f"{task.name} has {task.raw_action_space}."
        )
    high = LOG_STD_RANGE[1] if std == "state" else 5.0
    validate.in_interval("initial_log_std", initial_log_std, LOG_STD_RANGE[0], high)


def architecture(
    recipe: NetworkRecipe, task: AbstractTask, initialisation: Initialisation = "orthogonal"
) -> Architecture:
    """Networks that fit the environment."""
    return Architecture(
        task.observation_space,
        task.action_space,
        recipe.hidden,
        recipe.activation,
        conv_channels=recipe.conv_channels,
        initialisation=initialisation,
    )


def normalised(
    algorithm: AnyAlgorithm,
    task: AbstractTask,
    *,
    num_envs: int,
    observations: bool,
    rewards: bool,
    discount: Scalar,
) -> AnyAlgorithm:
    """`algorithm`, inside `Normalised` where anything is to be normalised."""
    if not (observations or rewards):
        return algorithm
    space = task.observation_space
    if observations and not isinstance(space, gym.spaces.Box):
        raise ValueError(f"`normalise_observation` needs a box of observations; got {space}.")
    return Normalised(
        algorithm,
        observation_shape=space.shape or (),
        num_envs=num_envs,
        observations=observations,
        rewards=rewards,
        discount=discount,
        mask=action_mask(space),
    )
