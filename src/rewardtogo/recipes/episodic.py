"""What the recipes of policies that learn from whole episodes share."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture, Initialisation, Std
from ..nn.policies import EntropicPolicy
from ..sources.task import AbstractTask
from .ingredients import Ingredients, architecture, require_std


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
    def initialisation(self) -> Initialisation: ...
    @property
    def initial_log_std(self) -> float: ...
    @property
    def std(self) -> Std: ...


Actor = Callable[[PRNGKeyArray], EntropicPolicy]


def policy_alone(actor: Actor, nets: Architecture, max_steps: int, key: PRNGKeyArray) -> Any:
    """The models of an algorithm that learns nothing else."""
    del nets, max_steps
    return actor(key)


def episodic(
    recipe: EpisodicRecipe,
    task: AbstractTask,
    algorithm: AnyAlgorithm,
    *,
    least_episodes: int,
    models: Callable[[Actor, Architecture, int, PRNGKeyArray], Any] = policy_alone,
) -> Ingredients:
    """What `models` makes of a policy, and whole episodes to learn from.

    `models` is given how to make the policy, the networks, the longest episode, and a key.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    validate.count("num_episodes", recipe.num_episodes)
    if recipe.num_episodes < least_episodes:
        raise ValueError(
            f"`num_episodes` ({recipe.num_episodes}) must be at least {least_episodes}: the "
            "`baseline` of an episode is made of the others."
        )
    require_std(recipe.std, recipe.initial_log_std, task)
    max_steps = recipe.max_episode_steps
    max_steps = task.max_steps if max_steps is None else max_steps
    if max_steps is None:
        raise ValueError(
            f"{task.name} has no limit on an episode's steps; set `max_episode_steps`."
        )
    validate.count("max_episode_steps", max_steps)
    nets = architecture(
        task, recipe.hidden, recipe.activation, recipe.conv_channels, recipe.initialisation
    )
    actor = lambda key: nets.actor(key, log_std=recipe.initial_log_std, std=recipe.std)
    return Ingredients(
        algorithm,
        task.episodes(recipe.num_episodes, max_steps),
        lambda key: models(actor, nets, max_steps, key),
    )
