"""What the recipes of algorithms that replay share: DQN, DDPG, TD3, SAC and its kin."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import gymnasium as gym
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.protocol import AnyAlgorithm
from ..nn.build import Activation, Architecture
from ..nn.policies import UniformBehaviour
from ..sources.protocol import AbstractSource
from ..sources.replay import Replay
from ..sources.task import AbstractTask
from ..types import Scalar
from .ingredients import Ingredients, architecture, normalised, require_actions


@runtime_checkable
class ReplayRecipe(Protocol):
    """The fields that these recipes share."""

    action_spaces: ClassVar[Any]  # kinds of `gymnasium.Space`, a tuple of them

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
    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def conv_channels(self) -> tuple[int, ...] | None: ...
    @property
    def activation(self) -> Activation: ...
    @property
    def normalise_observation(self) -> bool: ...


def off_policy(
    recipe: ReplayRecipe,
    task: AbstractTask,
    algorithm: AnyAlgorithm,
    models: Callable[[Architecture, PRNGKeyArray], Any],
    *,
    discount: Scalar,
    elsewhere: str = "",
    num_return_steps: int = 1,
    drawn: Callable[[Replay], AbstractSource] = lambda replay: replay,
) -> Ingredients:
    """Networks made by `models`, and a replay buffer to learn from.

    `elsewhere` says which algorithm takes the actions that this one does not; `drawn` makes the
    source of a buffer that is not drawn from uniformly.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    require_actions(type(algorithm).__name__, task, recipe.action_spaces, elsewhere)
    replay = _replay(recipe, task, num_return_steps, discount)
    nets = architecture(task, recipe.hidden, recipe.activation, recipe.conv_channels)
    inside = normalised(
        algorithm,
        task,
        num_envs=recipe.num_envs,
        observations=recipe.normalise_observation,
        rewards=False,
        discount=discount,
    )
    return Ingredients(inside, drawn(replay), lambda key: models(nets, key))


def _replay(
    recipe: ReplayRecipe, task: AbstractTask, num_return_steps: int, discount: Scalar
) -> Replay:
    """The source, its settings checked."""
    for name in ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size"):
        validate.count(name, getattr(recipe, name))
    validate.count("learning_starts", recipe.learning_starts)
    if recipe.buffer_size < recipe.learning_starts:
        raise ValueError(
            f"`learning_starts` ({recipe.learning_starts}) must fit into `buffer_size` "
            f"({recipe.buffer_size})."
        )
    if num_return_steps > recipe.buffer_size:
        raise ValueError(
            f"`n_step` ({num_return_steps}) may be at most `buffer_size` ({recipe.buffer_size}): a "
            "return cannot be longer than the buffer."
        )
    gather = recipe.num_envs * recipe.num_steps
    if recipe.total_steps < recipe.learning_starts + gather:
        raise ValueError(
            f"`total_steps` ({recipe.total_steps}) must exceed `learning_starts` "
            f"({recipe.learning_starts}) by at least num_envs × num_steps = {gather}."
        )
    actions, observations = task.action_space, task.observation_space
    discrete = isinstance(actions, gym.spaces.Discrete)
    explorer = UniformBehaviour(
        int(actions.n) if discrete else None,
        0 if discrete else (actions.shape or (1,))[0],
        len(observations.shape or ()),
    )
    return Replay(
        task.rollout(recipe.num_envs, recipe.num_steps),
        explorer,
        recipe.buffer_size,
        recipe.batch_size,
        recipe.num_updates,
        recipe.learning_starts,
        num_return_steps,
        discount,
    )
