"""Fresh experience from a fixed number of steps of environments written in JAX."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int, Key, PRNGKeyArray, PyTree

from ... import validate
from ..._scan import filter_scan
from ...envs.protocol import AbstractEnvironment
from ...nn.policies import AbstractBehaviour
from ...types import STEPS, StartRecord, Transition, Unit
from ..episode_statistics import EpisodeStatistics, no_statistics
from ..fault import Fault, no_fault
from ..protocol import AbstractCollector


class RolloutState(eqx.Module):
    """`num_envs` environments in the middle of their episodes."""

    env_key: Key[Array, " env"]  # never used itself: episode e resets with fold_in(env_key, e)
    episode: Int[Array, " env"]
    env_state: PyTree
    observation: PyTree
    carry: PyTree  # of the policy
    progress: Int[Array, ""]
    statistics: EpisodeStatistics
    fault: Fault


class Rollout(AbstractCollector):
    """`num_steps` of each of `num_envs` copies of `env`; batches have axes `(time, env)`.

    For on-policy algorithms: every transition is seen once, in order, right after it was gathered.
    """

    env: AbstractEnvironment
    num_envs: int
    num_steps: int
    record_start: bool = False  # in a `StartRecord`, for policies whose carry is large

    def __check_init__(self):
        validate.count("num_envs", self.num_envs)
        validate.count("num_steps", self.num_steps)

    @property
    def on_host(self) -> bool:
        return False

    @property
    def unit(self) -> Unit:
        return STEPS

    @property
    def per_gather(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, behaviour: AbstractBehaviour, *, key: PRNGKeyArray) -> RolloutState:
        env_key = jr.split(key, self.num_envs)
        episode = jnp.zeros(self.num_envs, jnp.int32)
        env_state, observation = jax.vmap(self._reset)(env_key, episode)
        return RolloutState(
            env_key,
            episode,
            env_state,
            observation,
            repeated(behaviour.initial_carry(), self.num_envs),
            jnp.zeros((), jnp.int32),
            no_statistics(self.num_envs),
            no_fault(),
        )

    def resume(self, state: Any, behaviour: AbstractBehaviour) -> Any:
        del behaviour
        return state

    def gather(
        self, state: RolloutState, behaviour: AbstractBehaviour, *, key: PRNGKeyArray
    ) -> tuple[RolloutState, Transition]:
        step = lambda state, key: self._step(state, behaviour, key)
        after, rollout = filter_scan(step, state, jr.split(key, self.num_steps))
        fault = state.fault.first(rollout, state.progress)
        if self.record_start:
            start = jax.tree.map(lambda x: x[None], state.carry)
            rollout = dataclasses.replace(rollout, record=StartRecord(rollout.record, start))
        return eqx.tree_at(lambda s: s.fault, after, fault), rollout

    def _reset(self, env_key: PRNGKeyArray, episode: Int[Array, ""]) -> tuple[Any, Any]:
        return self.env.reset(jr.fold_in(env_key, episode))

    def _step(
        self, state: RolloutState, behaviour: AbstractBehaviour, key: PRNGKeyArray
    ) -> tuple[RolloutState, Transition]:
        action, record, carry = behaviour.act(state.observation, state.carry, key=key)
        env_state, out = jax.vmap(self.env.step)(state.env_state, action)
        transition = Transition(
            state.observation,
            action,
            out.reward,
            out.observation,
            out.terminated,
            out.truncated,
            record,
        )
        boundary = transition.boundary
        episode = state.episode + boundary
        going = (env_state, out.observation)

        def restart():
            return select(boundary, jax.vmap(self._reset)(state.env_key, episode), going)

        # Drawing initial states at every step was a fifth of the rollout's time.
        env_state, observation = lax.cond(jnp.any(boundary), restart, lambda: going)
        after = RolloutState(
            state.env_key,
            episode,
            env_state,
            observation,
            select(boundary, repeated(behaviour.initial_carry(), self.num_envs), carry),
            state.progress + self.num_envs,
            state.statistics.add(out.reward, boundary),
            state.fault,
        )
        return after, transition


def select(choose: Bool[Array, " env"], new: PyTree, old: PyTree) -> PyTree:
    """Per environment, `new` where `choose` and `old` elsewhere, for every leaf."""

    def pick(new, old):
        return jnp.where(choose.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(pick, new, old)


def repeated(carry: PyTree, num_envs: int) -> PyTree:
    """One copy of `carry` an environment."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x[None], (num_envs, *x.shape)), carry)
