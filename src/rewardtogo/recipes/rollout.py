"""Recipes of actor–critics that learn from rollouts: PPO, A2C, TRPO, NPG, one-step."""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.a2c import A2C
from ..algorithms.actor_critic import OneStepActorCritic
from ..algorithms.dpg import DPG, DPGModels
from ..algorithms.npg import NPG
from ..algorithms.ppo import PPO
from ..algorithms.trpo import TRPO
from ..nn.actor_critic import AbstractActorCritic, ActorCritic
from ..nn.build import Architecture, Std
from ..nn.encoders import encoder
from ..nn.masks import masked
from ..nn.polynomial import LinearPolicy, PolynomialEncoder
from ..nn.recurrent import recurrent_actor_critic
from ..nn.shared import shared_actor_critic
from ..sources.buffers.latest import Latest
from ..sources.protocol import Source
from ..sources.task import AbstractTask
from ..training.loop import Loop
from .base import (
    ANY_ACTIONS,
    ActingRecipe,
    PolicyRecipe,
    architecture,
    normalised,
    require_actions,
    require_std,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RolloutRecipe(PolicyRecipe):
    """The fields that recipes on rollouts share."""

    action_spaces = ANY_ACTIONS

    num_envs: int = 8
    """Environments stepped side by side, for each seed."""
    normalise_observation: bool = False
    """Give the networks observations of mean 0 and deviation 1."""
    normalise_reward: bool = False
    """Divide rewards by the deviation of the discounted return."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class A2CRecipe(RolloutRecipe):
    """Batch advantage actor–critic: on-policy, discrete or continuous actions."""

    name = "a2c"
    algorithm: A2C = A2C()
    num_steps: int = 16
    """Steps of each environment in a rollout."""

    def build(self, task: AbstractTask) -> Loop:
        return actor_critic(self, task, self.num_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorCriticRecipe(RolloutRecipe):
    """One-step actor–critic: an update after every step; discrete or continuous actions."""

    name = "actor-critic"
    algorithm: OneStepActorCritic = OneStepActorCritic()
    num_envs: int = 1
    """Environments stepped side by side, for each seed; an update is their mean."""
    total_steps: int = 200_000

    def build(self, task: AbstractTask) -> Loop:
        return actor_critic(self, task, num_steps=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NPGRecipe(RolloutRecipe):
    """Natural policy gradient: on-policy, discrete or continuous actions."""

    name = "npg"
    algorithm: NPG = NPG()
    num_steps: int = 256
    """Steps of each environment in a rollout."""

    def build(self, task: AbstractTask) -> Loop:
        minibatches = self.algorithm.num_minibatches
        return actor_critic(self, task, self.num_steps, num_minibatches=minibatches)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TRPORecipe(RolloutRecipe):
    """Trust-region policy optimisation: on-policy, discrete or continuous actions."""

    name = "trpo"
    algorithm: TRPO = TRPO()
    num_steps: int = 256
    """Steps of each environment in a rollout."""

    def build(self, task: AbstractTask) -> Loop:
        minibatches = self.algorithm.num_minibatches
        return actor_critic(self, task, self.num_steps, num_minibatches=minibatches)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPORecipe(RolloutRecipe):
    """Proximal policy optimisation: on-policy, discrete or continuous actions."""

    name = "ppo"
    algorithm: PPO = PPO()
    num_steps: int = 128
    """Steps of each environment in a rollout."""
    shared_trunk: bool = False
    """Policy and value function share all layers but their last, convolutions included."""
    recurrent_size: int | None = None
    """Units of a GRU after layers that both share; it remembers the episode. None is no memory."""

    def build(self, task: AbstractTask) -> Loop:
        loop = actor_critic(
            self,
            task,
            self.num_steps,
            num_minibatches=self.algorithm.num_minibatches,
            models=self._models if self.shared_trunk or self.recurrent_size is not None else apart,
        )
        self.check_sequences(eqx.filter_eval_shape(loop.models, jr.key(0)))
        return loop

    def _models(
        self, nets: Architecture, key: PRNGKeyArray, log_std: float, std: Std
    ) -> AbstractActorCritic:
        """A policy and a value that share a trunk, and after it a memory where one is wanted."""
        if self.recurrent_size is None:
            model = shared_actor_critic(nets, key, log_std=log_std, std=std)
        else:
            validate.count("recurrent_size", self.recurrent_size)
            model = recurrent_actor_critic(
                nets, key, size=self.recurrent_size, log_std=log_std, std=std
            )
        return masked(model, nets.observation_space)

    def check_sequences(self, models: AbstractActorCritic) -> None:
        """Raise `ValueError` unless rollouts can be cut as `sequence_length` says."""
        length, minibatches = self.algorithm.sequence_length, self.algorithm.num_minibatches
        if not jax.tree.leaves(models.initial_carry()):
            if length is None:
                return
            raise ValueError(
                f"`sequence_length` ({length}) is for networks that remember; these do not."
            )
        length = length or self.num_steps
        if self.num_steps % length:
            raise ValueError(
                f"`sequence_length` ({length}) must divide `num_steps` ({self.num_steps})."
            )
        sequences = self.num_envs * self.num_steps // length
        if sequences % minibatches:
            raise ValueError(
                f"`num_minibatches` ({minibatches}) must divide the sequences of a rollout, "
                f"num_envs × num_steps / sequence_length = {sequences}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPGRecipe(ActingRecipe):
    """Deterministic policy gradient, compatible linear critic: on- or off-policy, continuous."""

    name = "dpg"
    action_spaces = (gym.spaces.Box,)
    algorithm: DPG = DPG()
    num_envs: int = 16
    """Environments stepped side by side, for each seed."""
    num_steps: int = 64
    """Steps of each environment in a rollout."""
    policy_degree: int = 1
    """Degree of the polynomials of the observation in which the policy is linear."""
    value_degree: int = 2
    """Degree of those in which the state's value is linear."""

    def build(self, task: AbstractTask) -> Loop:
        require_actions("DPG", task, self.action_spaces)
        for name in ("num_envs", "num_steps", "policy_degree", "value_degree"):
            validate.count(name, getattr(self, name))
        encode = encoder(task.observation_space)
        features = PolynomialEncoder(encode, self.policy_degree)
        value_features = PolynomialEncoder(encode, self.value_degree)
        shape = (features.size, math.prod(task.action_space.shape or ()))
        unknowns, rows = math.prod(shape) + value_features.size, self.num_envs * self.num_steps
        if rows < unknowns:
            raise ValueError(
                f"a rollout of num_envs × num_steps = {rows} steps cannot tell the critic's "
                f"{unknowns} unknowns; lengthen it, or lower `policy_degree` or `value_degree`."
            )

        def models(key: PRNGKeyArray) -> DPGModels:
            del key  # no randomness: the policy starts at 0
            return DPGModels(LinearPolicy(features, jnp.zeros(shape)), value_features)

        source = Source(task.rollout(self.num_envs, self.num_steps), Latest())
        return Loop(self.algorithm, source, models)


Models = Callable[..., AbstractActorCritic]


def apart(nets: Architecture, key: PRNGKeyArray, log_std: float, std: Std) -> ActorCritic:
    """A policy and a value with networks of their own."""
    actor_key, critic_key = jr.split(key)
    actor = nets.actor(actor_key, log_std=log_std, std=std)
    return ActorCritic(actor, nets.state_value(critic_key))


def actor_critic(
    recipe: RolloutRecipe,
    task: AbstractTask,
    num_steps: int,
    *,
    num_minibatches: int = 1,
    models: Models = apart,
) -> Loop:
    """An actor and a critic, made by `models`, and rollouts of `num_steps` to learn from.

    **Raises:** `ValueError` where the settings do not fit the environment or each other.
    """
    validate.count("num_envs", recipe.num_envs)
    validate.count("num_steps", num_steps)
    require_std(recipe.std, recipe.initial_log_std, task)
    size = recipe.num_envs * num_steps
    if size % num_minibatches:
        raise ValueError(
            f"`num_minibatches` ({num_minibatches}) must divide num_envs × num_steps = {size}."
        )
    nets = architecture(recipe, task, recipe.initialisation)
    learner = normalised(
        recipe.algorithm,
        task,
        num_envs=recipe.num_envs,
        observations=recipe.normalise_observation,
        rewards=recipe.normalise_reward,
        discount=recipe.algorithm.discount,
    )
    source = Source(task.rollout(recipe.num_envs, num_steps), Latest())
    return Loop(learner, source, lambda key: models(nets, key, recipe.initial_log_std, recipe.std))
