"""What every recipe is made from: networks that fit, normalisation, a replay source."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium as gym
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.normalised import Normalised
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture
from ..nn.policies import Explorer
from ..sources.protocol import AbstractSource
from ..sources.replay import Replay
from ..types import Scalar
from ..worlds import AbstractWorld


class Ingredients(NamedTuple):
    """What `build_program` is given."""

    algorithm: AnyAlgorithm
    source: AbstractSource
    models: Callable[[PRNGKeyArray], Any]


@runtime_checkable
class ReplayRecipe(Protocol):
    """The fields that the recipes of all off-policy algorithms share."""

    @property
    def num_envs(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
    @property
    def num_updates(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def buffer_size(self) -> int: ...
    @property
    def learning_starts(self) -> int: ...
    @property
    def total_steps(self) -> int: ...


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


def require_actions(
    algorithm: str, world: AbstractWorld, kinds: tuple[type[gym.Space], ...]
) -> None:
    """Raise `ValueError` unless the actions are of a kind that the algorithm takes."""
    if not isinstance(world.action_space, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{algorithm} needs a {names} action space; {world.name} has {world.raw_action_space}."
        )


def replay(recipe: ReplayRecipe, world: AbstractWorld) -> Replay:
    """The replay source of an off-policy recipe."""
    for name in ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size"):
        validate.count(name, getattr(recipe, name))
    validate.count("learning_starts", recipe.learning_starts)
    if recipe.buffer_size < recipe.learning_starts:
        raise ValueError(
            f"`learning_starts` ({recipe.learning_starts}) must fit into `buffer_size` "
            f"({recipe.buffer_size})."
        )
    gather = recipe.num_envs * recipe.num_steps
    if recipe.total_steps < recipe.learning_starts + gather:
        raise ValueError(
            f"`total_steps` ({recipe.total_steps}) must exceed `learning_starts` "
            f"({recipe.learning_starts}) by at least num_envs × num_steps = {gather}."
        )
    actions, observations = world.action_space, world.observation_space
    discrete = isinstance(actions, gym.spaces.Discrete)
    explorer = Explorer(
        int(actions.n) if discrete else None,
        0 if discrete else (actions.shape or (1,))[0],
        len(observations.shape or ()),
    )
    return Replay(
        world.rollout(recipe.num_envs, recipe.num_steps),
        explorer,
        recipe.buffer_size,
        recipe.batch_size,
        recipe.num_updates,
        recipe.learning_starts,
    )
