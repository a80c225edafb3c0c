"""Recipes of policies that learn from whole episodes: REINFORCE, off-policy policy gradient."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.off_policy_pg import OffPolicyPG
from ..algorithms.reinforce import OF_OTHERS, REINFORCE, Baseline
from ..algorithms.reinforce_baselines import WithBaseline, past_returns
from ..nn.build import Architecture
from ..nn.policies import EntropicPolicy
from ..sources.buffers.latest import Latest
from ..sources.protocol import Source
from ..sources.task import AbstractTask
from ..training.loop import Loop
from .base import ANY_ACTIONS, PolicyRecipe, architecture, require_std


Actor = Callable[[PRNGKeyArray], EntropicPolicy]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodicRecipe(PolicyRecipe):
    """The fields that recipes on whole episodes share."""

    action_spaces = ANY_ACTIONS

    num_episodes: int = 16
    """Episodes in a batch."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; None is the environment's own limit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class REINFORCERecipe(EpisodicRecipe):
    """REINFORCE: on-policy, whole episodes, discrete or continuous actions."""

    name = "reinforce"
    algorithm: REINFORCE = REINFORCE()
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the policy and of a learned baseline alike."""

    def build(self, task: AbstractTask) -> Loop:
        least = 2 if self.algorithm.baseline in OF_OTHERS else 1
        return episodic(self, task, least_episodes=least, models=self._models)

    def _models(
        self, actor: Actor, nets: Architecture, max_steps: int, key: PRNGKeyArray
    ) -> EntropicPolicy | WithBaseline:
        """The policy, and what its baseline starts from where that is something."""
        match self.algorithm.baseline:
            case Baseline.LEARNED:
                key, critic_key = jr.split(key)
                baseline = nets.state_value(critic_key)
            case Baseline.PAST_MEAN_BY_TIME:
                baseline = past_returns((max_steps,))
            case _:
                return actor(key)
        return WithBaseline(actor(key), baseline)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyPGRecipe(EpisodicRecipe):
    """Off-policy policy gradient: several steps on each batch of whole episodes."""

    name = "off-policy-pg"
    algorithm: OffPolicyPG = OffPolicyPG()
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""

    def build(self, task: AbstractTask) -> Loop:
        return episodic(self, task, least_episodes=2 if self.algorithm.baseline else 1)


def policy_alone(actor: Actor, nets: Architecture, max_steps: int, key: PRNGKeyArray) -> Any:
    """The models of an algorithm that learns nothing else."""
    del nets, max_steps
    return actor(key)


def episodic(
    recipe: EpisodicRecipe,
    task: AbstractTask,
    *,
    least_episodes: int,
    models: Callable[[Actor, Architecture, int, PRNGKeyArray], Any] = policy_alone,
) -> Loop:
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
    nets = architecture(recipe, task, recipe.initialisation)
    actor = lambda key: nets.actor(key, log_std=recipe.initial_log_std, std=recipe.std)
    source = Source(task.episodes(recipe.num_episodes, max_steps), Latest())
    return Loop(recipe.algorithm, source, lambda key: models(actor, nets, max_steps, key))
