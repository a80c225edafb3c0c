"""What the recipes of actor–critics on rollouts share: PPO, A2C, NPG, TRPO."""

from typing import Protocol, runtime_checkable

import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.protocol import AnyAlgorithm
from ..nn.actor_critic import AbstractActorCritic, ActorCritic
from ..nn.build import Activation, Initialisation, Std
from ..nn.masks import masked
from ..nn.recurrent import recurrent_actor_critic
from ..nn.shared import shared_actor_critic
from ..sources.task import AbstractTask
from ..types import Scalar
from .ingredients import Ingredients, architecture, normalised, require_std


@runtime_checkable
class RolloutRecipe(Protocol):
    """The fields that these recipes share."""

    @property
    def num_envs(self) -> int: ...
    @property
    def num_steps(self) -> int: ...
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
    @property
    def normalise_observation(self) -> bool: ...
    @property
    def normalise_reward(self) -> bool: ...


def actor_critic(
    recipe: RolloutRecipe,
    task: AbstractTask,
    algorithm: AnyAlgorithm,
    *,
    discount: Scalar,
    num_minibatches: int = 1,
    shared_trunk: bool = False,
    recurrent_size: int | None = None,
) -> Ingredients:
    """An actor and a critic, with networks of their own or one trunk, and rollouts to learn from.

    With `recurrent_size` they have one trunk, and one GRU of so many units after it.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    validate.count("num_envs", recipe.num_envs)
    validate.count("num_steps", recipe.num_steps)
    require_std(recipe.std, recipe.initial_log_std, task)
    if recurrent_size is not None:
        validate.count("recurrent_size", recurrent_size)
    size = recipe.num_envs * recipe.num_steps
    if size % num_minibatches:
        raise ValueError(
            f"`num_minibatches` ({num_minibatches}) must divide num_envs × num_steps = {size}."
        )
    nets = architecture(
        task, recipe.hidden, recipe.activation, recipe.conv_channels, recipe.initialisation
    )
    inside = normalised(
        algorithm,
        task,
        num_envs=recipe.num_envs,
        observations=recipe.normalise_observation,
        rewards=recipe.normalise_reward,
        discount=discount,
    )

    def models(key: PRNGKeyArray) -> AbstractActorCritic:
        sigma = {"log_std": recipe.initial_log_std, "std": recipe.std}
        if recurrent_size is not None:
            remembering = recurrent_actor_critic(nets, key, size=recurrent_size, **sigma)
            return masked(remembering, task.observation_space)
        if shared_trunk:
            return masked(shared_actor_critic(nets, key, **sigma), task.observation_space)
        actor_key, critic_key = jr.split(key)
        actor = nets.actor(actor_key, **sigma)
        return ActorCritic(actor, nets.state_value(critic_key))

    return Ingredients(inside, task.rollout(recipe.num_envs, recipe.num_steps), models)
