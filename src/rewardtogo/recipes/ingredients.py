"""What every recipe is made from: networks that fit, and normalisation."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import gymnasium as gym
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.normalised import Normalised
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture, Initialisation, Std
from ..nn.policies import LOG_STD_RANGE
from ..sources.protocol import AbstractSource
from ..spaces import action_mask
from ..types import Scalar
from ..worlds import AbstractWorld


ANY_ACTIONS = (
    gym.spaces.Discrete,
    gym.spaces.MultiDiscrete,
    gym.spaces.MultiBinary,
    gym.spaces.Box,
)
"""What an algorithm takes that asks nothing of a policy but its log-probability."""


class Ingredients(NamedTuple):
    """What `build_program` is given."""

    algorithm: AnyAlgorithm
    source: AbstractSource
    models: Callable[[PRNGKeyArray], Any]


def require_std(std: str, initial_log_std: float) -> None:
    """Raise `ValueError` unless a Gaussian policy may have such a σ."""
    validate.one_of("std", std, get_args(Std))
    high = LOG_STD_RANGE[1] if std == "state" else 5.0
    validate.in_interval("initial_log_std", initial_log_std, LOG_STD_RANGE[0], high)


def architecture(
    world: AbstractWorld,
    hidden: tuple[int, ...],
    activation: Activation,
    conv_channels: tuple[int, ...] | None,
    initialisation: Initialisation = "orthogonal",
) -> Architecture:
    """Networks that fit the environment."""
    return Architecture(
        world.observation_space,
        world.action_space,
        hidden,
        activation,
        conv_channels=conv_channels,
        initialisation=initialisation,
    )


def normalised(
    algorithm: AnyAlgorithm,
    world: AbstractWorld,
    *,
    num_envs: int,
    observations: bool,
    rewards: bool,
    discount: Scalar,
) -> AnyAlgorithm:
    """`algorithm`, inside `Normalised` where anything is to be normalised."""
    if not (observations or rewards):
        return algorithm
    space = world.observation_space
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
