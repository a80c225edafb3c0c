"""What the recipes of policies that learn from whole episodes share."""

from typing import Protocol, runtime_checkable

from .. import validate
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation
from ..worlds import AbstractWorld
from .ingredients import Ingredients, architecture


@runtime_checkable
class EpisodicRecipe(Protocol):
    """The fields that these recipes share."""

    @property
    def num_episodes(self) -> int: ...
    @property
    def max_episode_steps(self) -> int | None: ...
    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def conv_channels(self) -> tuple[int, ...] | None: ...
    @property
    def activation(self) -> Activation: ...
    @property
    def initial_log_std(self) -> float: ...


def episodic(
    recipe: EpisodicRecipe, world: AbstractWorld, algorithm: AnyAlgorithm, *, least_episodes: int
) -> Ingredients:
    """A policy, and whole episodes to learn from.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    validate.count("num_episodes", recipe.num_episodes, least=least_episodes)
    validate.in_interval("initial_log_std", recipe.initial_log_std, -20.0, 5.0)
    max_steps = recipe.max_episode_steps or world.max_steps
    if max_steps is None:
        raise ValueError(
            f"{world.name} has no limit on an episode's steps; set `max_episode_steps`."
        )
    validate.count("max_episode_steps", max_steps)
    nets = architecture(world, recipe.hidden, recipe.activation, recipe.conv_channels)
    models = lambda key: nets.actor(key, log_std=recipe.initial_log_std)
    return Ingredients(algorithm, world.episodes(recipe.num_episodes, max_steps), models)
