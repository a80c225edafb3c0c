"""Recipes of algorithms that learn from past experience: DQN, SAC and its kin, TD3, DDPG."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.ddpg import DDPG, DDPGModels
from ..algorithms.deterministic import DeterministicActorCritic
from ..algorithms.discrete_sac import CategoricalTwinCritic, DiscreteSAC
from ..algorithms.dqn import DQN
from ..algorithms.sac import SAC, ActorTwinCritic
from ..algorithms.sac_v import SACV, ActorTwinCriticValue
from ..algorithms.td3 import TD3, TD3Models
from ..nn.build import Activation, Architecture
from ..nn.deterministic import action_value, deterministic_actor
from ..nn.policies import CategoricalPolicy, UniformBehaviour
from ..nn.values import AbstractActionValues, MeanActionValues
from ..sources.buffers.prioritised import PrioritisedReplay
from ..sources.buffers.replay import Replay
from ..sources.protocol import AbstractBuffer, Source, Warmup
from ..sources.task import AbstractTask
from ..training.loop import Loop
from ..types import Scalar
from .base import NetworkRecipe, architecture, normalised, require_actions


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplayRecipe(NetworkRecipe):
    """The fields that recipes with a replay buffer share."""

    num_envs: int = 1
    """Environments stepped side by side, for each seed."""
    num_steps: int = 1
    """Steps of each environment from one round of updates to the next."""
    num_updates: int = 1
    """Updates in a round, each on a fresh minibatch."""
    batch_size: int = 256
    """Steps in a minibatch."""
    buffer_size: int = 1_000_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 1_000
    """Steps taken at random before the first update."""
    hidden: tuple[int, ...] = (256, 256)
    activation: Activation = "relu"
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    total_steps: int = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPGRecipe(ReplayRecipe):
    """Deep deterministic policy gradient: off-policy, continuous actions."""

    name = "ddpg"
    action_spaces = (gym.spaces.Box,)
    algorithm: DDPG = DDPG()

    def build(self, task: AbstractTask) -> Loop:
        return off_policy(self, task, _ddpg_models)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TD3Recipe(ReplayRecipe):
    """Twin delayed DDPG: off-policy, continuous actions."""

    name = "td3"
    action_spaces = (gym.spaces.Box,)
    algorithm: TD3 = TD3()

    def build(self, task: AbstractTask) -> Loop:
        return off_policy(self, task, _td3_models)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACRecipe(ReplayRecipe):
    """Soft actor–critic: off-policy, continuous actions."""

    name = "sac"
    action_spaces = (gym.spaces.Box,)
    algorithm: SAC = SAC()

    def build(self, task: AbstractTask) -> Loop:
        return off_policy(self, task, _sac_models, elsewhere=FOR_DISCRETE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SACVRecipe(ReplayRecipe):
    """Soft actor–critic as first published, with a state value: off-policy, continuous actions."""

    name = "sac-v"
    action_spaces = (gym.spaces.Box,)
    algorithm: SACV = SACV()

    def build(self, task: AbstractTask) -> Loop:
        return off_policy(self, task, _sac_v_models, elsewhere=FOR_DISCRETE)


FOR_DISCRETE = "`discrete-sac` takes discrete actions."


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteReplayRecipe(ReplayRecipe):
    """What suits discrete actions: several environments, smaller networks, batches and buffer."""

    action_spaces = (gym.spaces.Discrete,)

    num_envs: int = 4
    num_steps: int = 4
    num_updates: int = 4
    batch_size: int = 64
    buffer_size: int = 100_000
    hidden: tuple[int, ...] = (128, 128)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteSACRecipe(DiscreteReplayRecipe):
    """Soft actor–critic: off-policy, discrete actions."""

    name = "discrete-sac"
    algorithm: DiscreteSAC = DiscreteSAC()

    def build(self, task: AbstractTask) -> Loop:
        elsewhere = "`sac` takes continuous actions."
        return off_policy(self, task, _discrete_sac_models, elsewhere=elsewhere)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DQNRecipe(DiscreteReplayRecipe):
    """Deep Q-learning: off-policy, discrete actions."""

    name = "dqn"
    algorithm: DQN = DQN()
    n_step: int = 1
    """Steps whose rewards a target sums before it bootstraps."""
    prioritised: bool = False
    """Draw steps the more often the larger their last error was."""
    priority_exponent: Scalar | None = None
    """α of prioritised: 0 draws uniformly, 1 in proportion to the error; 0.6 without one."""
    priority_offset: Scalar | None = None
    """ε of prioritised, added to the error, in units of return; 1e-6 without one."""
    importance_exponent: Scalar | None = None
    """β of prioritised at the first update: 1 undoes the draws' bias; 0.4 without one."""
    importance_updates: int | None = None
    """Updates over which β grows linearly to 1; 25,000 without a number."""
    dueling: bool = False
    """Q from two streams, of the state's value and of advantages; the last layer is one of each."""

    def build(self, task: AbstractTask) -> Loop:
        validate.count("n_step", self.n_step)
        loop = off_policy(self, task, self._models, num_return_steps=self.n_step)
        buffer = self._buffer(loop.source.buffer, loop.source.warmup_gathers)
        return dataclasses.replace(loop, source=dataclasses.replace(loop.source, buffer=buffer))

    def _models(self, nets: Architecture, key: PRNGKeyArray) -> AbstractActionValues:
        """One network, or two that share nothing."""
        network = nets.dueling_action_values if self.dueling else nets.action_values
        if not self.algorithm.twin:
            return network(key)
        first, second = jr.split(key)
        return MeanActionValues((network(first), network(second)))

    def _buffer(self, replay: Any, warmup_gathers: int) -> AbstractBuffer:
        """Drawn from uniformly, or by priorities."""
        names = (
            "priority_exponent",
            "priority_offset",
            "importance_exponent",
            "importance_updates",
        )
        given = {name: getattr(self, name) for name in names}
        if self.prioritised:
            chosen = {name: value for name, value in given.items() if value is not None}
            return PrioritisedReplay(replay, warmup_gathers=warmup_gathers, **chosen)
        for name, value in given.items():
            validate.unused(name, value, "prioritised replay")
        return replay


def _ddpg_models(nets: Architecture, key: PRNGKeyArray) -> DDPGModels:
    actor_key, critic_key = jr.split(key)
    return DeterministicActorCritic(
        deterministic_actor(nets, actor_key), action_value(nets, critic_key)
    )


def _td3_models(nets: Architecture, key: PRNGKeyArray) -> TD3Models:
    actor_key, critic_key = jr.split(key)
    return DeterministicActorCritic(
        deterministic_actor(nets, actor_key), nets.twin_values(critic_key)
    )


def _sac_models(nets: Architecture, key: PRNGKeyArray) -> ActorTwinCritic:
    actor_key, critic_key = jr.split(key)
    return ActorTwinCritic(nets.squashed_actor(actor_key), nets.twin_values(critic_key))


def _sac_v_models(nets: Architecture, key: PRNGKeyArray) -> ActorTwinCriticValue:
    actor_key, critic_key, value_key = jr.split(key, 3)
    return ActorTwinCriticValue(
        nets.squashed_actor(actor_key), nets.twin_values(critic_key), nets.state_value(value_key)
    )


def _discrete_sac_models(nets: Architecture, key: PRNGKeyArray) -> CategoricalTwinCritic:
    actor_key, critic_key = jr.split(key)
    head = nets.action_values(actor_key)  # one output an action: here its logit
    actor = CategoricalPolicy(head.encoder, head.values)
    return CategoricalTwinCritic(actor, nets.twin_action_values(critic_key))


def off_policy(
    recipe: ReplayRecipe,
    task: AbstractTask,
    models: Callable[[Architecture, PRNGKeyArray], Any],
    *,
    elsewhere: str = "",
    num_return_steps: int = 1,
) -> Loop:
    """Networks made by `models`, and a replay buffer to learn from.

    `elsewhere` says which algorithm takes the actions that this one does not.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    algorithm = recipe.algorithm
    require_actions(type(algorithm).__name__, task, recipe.action_spaces, elsewhere)
    source = _source(recipe, task, num_return_steps)
    nets = architecture(recipe, task)
    learner = normalised(
        algorithm,
        task,
        num_envs=recipe.num_envs,
        observations=recipe.normalise_observation,
        rewards=False,
        discount=algorithm.discount,
    )
    return Loop(learner, source, lambda key: models(nets, key))


def _source(recipe: ReplayRecipe, task: AbstractTask, num_return_steps: int) -> Source:
    """Rollouts into a ring, a warm-up of uniform actions; the settings checked."""
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
    replay = Replay(
        recipe.buffer_size,
        recipe.batch_size,
        recipe.num_updates,
        num_return_steps,
        recipe.algorithm.discount,
    )
    rollout = task.rollout(recipe.num_envs, recipe.num_steps)
    return Source(rollout, replay, Warmup(explorer, recipe.learning_starts))
