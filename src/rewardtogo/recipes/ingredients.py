"""What every recipe is made from: networks that fit, and normalisation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
from jaxtyping import PRNGKeyArray

from ..algorithms.normalised import Normalised
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture
from ..sources.protocol import AbstractSource
from ..types import Scalar
from ..worlds import AbstractWorld


class Ingredients(NamedTuple):
    """What `build_program` is given."""

    algorithm: AnyAlgorithm
    source: AbstractSource
    models: Callable[[PRNGKeyArray], Any]


def architecture(
    world: AbstractWorld,
    hidden: tuple[int, ...],
    activation: Activation,
    conv_channels: tuple[int, ...] | None,
) -> Architecture:
    """Networks that fit the environment."""
    return Architecture(
        world.observation_space,
        world.action_space,
        hidden,
        activation,
        conv_channels=conv_channels,
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
    )
