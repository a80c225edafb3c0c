"""Whole episodes, run to their end, padded and masked."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, Key, PRNGKeyArray

from ... import validate
from ..._scan import filter_scan
from ...envs.protocol import AbstractEnvironment
from ...nn.policies import AbstractBehaviour
from ...types import STEPS, EpisodeBatch, Transition, Unit
from ..episode_statistics import EpisodeStatistics, no_statistics
from ..fault import Fault, no_fault
from ..protocol import AbstractCollector
from .rollout import repeated, select


class EpisodesState(eqx.Module):
    """Nothing lives from one gather to the next but counters and the environments' keys."""

    env_key: Key[Array, " episode"]
    gathers: Int[Array, ""]
    progress: Int[Array, ""]
    statistics: EpisodeStatistics
    fault: Fault


class Episodes(AbstractCollector):
    """`num_episodes` episodes from s₀ ∼ μ₀ to their end, or to `max_steps` steps, which truncates.

    For estimators that need whole returns (REINFORCE). A gather takes as long as the longest
    episode allowed, and counts only the steps taken.
    """

    env: AbstractEnvironment
    num_episodes: int
    max_steps: int

    def __check_init__(self):
        validate.count("num_episodes", self.num_episodes)
        validate.count("max_steps", self.max_steps)

    @property
    def on_host(self) -> bool:
        return False

    @property
    def unit(self) -> Unit:
        return STEPS

    @property
    def per_gather(self) -> None:
        return None

    def init(self, behaviour: AbstractBehaviour, *, key: PRNGKeyArray) -> EpisodesState:
        del behaviour
        zero = jnp.zeros((), jnp.int32)
        return EpisodesState(
            jr.split(key, self.num_episodes),
            zero,
            zero,
            no_statistics(self.num_episodes),
            no_fault(),
        )

    def resume(self, state: Any, behaviour: AbstractBehaviour) -> Any:
        del behaviour
        return state

    def gather(
        self, state: EpisodesState, behaviour: AbstractBehaviour, *, key: PRNGKeyArray
    ) -> tuple[EpisodesState, EpisodeBatch]:
        reset = lambda key: self.env.reset(jr.fold_in(key, state.gathers))
        env_state, observation = jax.vmap(reset)(state.env_key)
        carry = repeated(behaviour.initial_carry(), self.num_episodes)
        alive = jnp.ones(self.num_episodes, bool)

        def step(going, xs):
            env_state, observation, carry, alive, statistics = going
            time, key = xs
            action, record, carry = behaviour.act(observation, carry, key=key)
            after, out = jax.vmap(self.env.step)(env_state, action)
            transition = self._transition(observation, action, record, out, alive, time)
            ended = transition.boundary & alive
            reward = jnp.where(alive, out.reward, 0)
            statistics = select(alive, statistics.add(reward, ended), statistics)
            env_state, observation = select(
                alive, (after, out.observation), (env_state, observation)
            )
            return (env_state, observation, carry, alive & ~ended, statistics), (transition, alive)

        going = (env_state, observation, carry, alive, state.statistics)
        xs = (jnp.arange(self.max_steps), jr.split(key, self.max_steps))
        (*_, statistics), (transition, mask) = filter_scan(step, going, xs)
        fault = state.fault.first(transition, state.progress, mask=mask)
        progress = state.progress + mask.sum(dtype=jnp.int32)
        after = EpisodesState(state.env_key, state.gathers + 1, progress, statistics, fault)
        return after, EpisodeBatch(transition, mask)

    def _transition(self, observation, action, record, out, alive, time) -> Transition:
        cut = (time + 1 == self.max_steps) & ~out.terminated
        return Transition(
            observation,
            action,
            jnp.where(alive, out.reward, 0),
            out.observation,
            out.terminated,
            out.truncated | cut,
            record,
        )
