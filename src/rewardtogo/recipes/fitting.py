"""What every recipe is made from: networks that fit the environment, and normalisation."""

from typing import get_args

import gymnasium as gym

from .. import validate
from ..algorithms.normalised import Normalised
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Architecture, Initialisation, Std
from ..nn.policies import LOG_STD_RANGE
from ..sources.task import AbstractTask
from ..spaces import ACTION_MASK, action_mask
from ..types import Scalar
from .base import NetworkRecipe


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
