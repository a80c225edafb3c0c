"""Whole episodes, run to their end, padded and masked."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, Key, PRNGKeyArray

from .. import validate
from .._scan import filter_scan
from ..envs.protocol import AbstractEnvironment
from ..nn.policies import AbstractBehaviour
from ..types import EpisodeBatch, Transition
from .episode_statistics import Tally, no_statistics
from .fault import Fault, no_fault
from .protocol import AbstractSource
from .rollout import repeated, select


class EpisodesState(eqx.Module):
    """Nothing lives from one gather to the next but counters and the environments' keys."""

    env_key: Key[Array, " episode"]
    gathers: Int[Array, ""]
    steps: Int[Array, ""]
    tally: Tally
    fault: Fault


class Episodes(AbstractSource):
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
    def steps_per_gather(self) -> None:
        return None

    @property
    def warmup(self) -> None:
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

    def resume(self, state: Any, memory: Any, behaviour: AbstractBehaviour) -> tuple[Any, Any]:
        del behaviour
        return state, memory

    def gather(
        self, state: EpisodesState, behaviour: AbstractBehaviour, *, key: PRNGKeyArray
    ) -> tuple[EpisodesState, EpisodeBatch]:
        reset = lambda key: self.env.reset(jr.fold_in(key, state.gathers))
        env_state, observation = jax.vmap(reset)(state.env_key)
        memory = repeated(behaviour.initial_carry(), self.num_episodes)
        alive = jnp.ones(self.num_episodes, bool)

        def step(carry, xs):
            env_state, observation, memory, alive, tally = carry
            time, key = xs
            action, record, memory = behaviour.act(observation, memory, key=key)
            after, out = jax.vmap(self.env.step)(env_state, action)
            transition = self._transition(observation, action, record, out, alive, time)
            ended = transition.boundary & alive
            reward = jnp.where(alive, out.reward, 0)
            tally = select(alive, tally.add(reward, ended), tally)
            env_state, observation = select(
                alive, (after, out.observation), (env_state, observation)
            )
            return (env_state, observation, memory, alive & ~ended, tally), (transition, alive)

        carry = (env_state, observation, memory, alive, state.tally)
        xs = (jnp.arange(self.max_steps), jr.split(key, self.max_steps))
        (*_, tally), (transition, mask) = filter_scan(step, carry, xs)
        fault = state.fault.first(transition, state.steps, mask=mask)
        steps = state.steps + mask.sum(dtype=jnp.int32)
        after = EpisodesState(state.env_key, state.gathers + 1, steps, tally, fault)
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

    def empty_memory(self, gathered: EpisodeBatch) -> tuple[()]:
        del gathered
        return ()

    def absorb(self, memory: tuple[()], gathered: EpisodeBatch, *, index) -> tuple[()]:
        del gathered, index
        return memory

    def batches(self, memory: tuple[()], gathered: EpisodeBatch, *, index, key) -> EpisodeBatch:
        del memory, index, key
        return jax.tree.map(lambda x: x[None], gathered)
