"""Fresh experience from environments that live in Python."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from ... import validate
from ...envs.host import AbstractPool, PoolStep
from ...envs.wrappers import scale_action
from ...types import STEPS, EpisodeBatch, StartRecord, Transition, Unit
from ..episode_statistics import EpisodeStatistics, no_statistics
from ..fault import Fault, no_fault
from ..protocol import AbstractCollector


class HostState(eqx.Module):
    """What can be saved of environments that cannot be: arrays are `[seed, ...]`."""

    episode: Int[np.ndarray, "seed env"]
    observation: np.ndarray
    carry: PyTree  # of the policy
    progress: np.ndarray
    statistics: EpisodeStatistics
    fault: Fault


class HostRollout(AbstractCollector):
    """`num_steps` of each environment of a pool; batches have axes `(time, env)`.

    `pool()` is the pool, always the same one; it holds the environments of all seeds, one seed's
    after another's. It is the one thing in the library with a hidden state: what it holds cannot be
    saved, so a resumed run begins new episodes, with the seeds that come next.
    """

    pool: Callable[[], AbstractPool] = eqx.field(static=True)
    num_envs: int
    num_steps: int
    num_seeds: int = 1
    record_start: bool = False  # in a `StartRecord`, for policies whose carry is large

    def __check_init__(self):
        validate.count("num_envs", self.num_envs)
        validate.count("num_steps", self.num_steps)
        validate.count("num_seeds", self.num_seeds)

    @property
    def on_host(self) -> bool:
        return True

    @property
    def unit(self) -> Unit:
        return STEPS

    @property
    def per_gather(self) -> int:
        return self.num_envs * self.num_steps

    def init(self, behaviour: Any, *, key) -> HostState:
        del key  # the pool was given the run's seed
        self.pool().episodes = np.zeros(self.pool().num_envs, np.int64)
        return fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)

    def resume(self, state: HostState, behaviour: Any) -> HostState:
        self.pool().episodes = np.asarray(state.episode).reshape(-1) + 1
        fresh = fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)
        counted = (state.progress, _without_partial(state.statistics), state.fault)
        return eqx.tree_at(lambda s: (s.progress, s.statistics, s.fault), fresh, counted)

    def gather(self, state: HostState, behaviour: Any, *, key) -> tuple[HostState, Transition]:
        rows = []
        observation, carry = state.observation, state.carry
        for time in range(self.num_steps):
            action, record, carry = behaviour.act(
                observation, carry, key_data=key, time=time, num_steps=self.num_steps
            )
            step = step_pool(self.pool(), self.num_seeds, action)
            rows.append(_row(observation, action, record, step, self.num_seeds))
            observation = _by_seed(step.observation, self.num_seeds)
            boundary = _by_seed(step.terminated | step.truncated, self.num_seeds)
            carry = _restarted(carry, behaviour.initial_carry, boundary)
        rollout = Transition(*jax.tree.map(lambda *xs: np.stack(xs, axis=1), *rows))
        if self.record_start:
            start = jax.tree.map(lambda x: np.asarray(x)[:, None], state.carry)
            rollout = dataclasses.replace(rollout, record=StartRecord(rollout.record, start))
        statistics, fault = _account(state.statistics, state.fault, rollout, state.progress)
        episode = _by_seed(self.pool().episodes, self.num_seeds)
        progress = state.progress + self.per_gather
        return HostState(episode, observation, carry, progress, statistics, fault), rollout


class HostEpisodes(AbstractCollector):
    """Whole episodes from a pool, padded to `max_steps` and masked; see `sources.episodes`."""

    pool: Callable[[], AbstractPool] = eqx.field(static=True)
    max_steps: int
    num_seeds: int = 1

    def __check_init__(self):
        validate.count("max_steps", self.max_steps)
        validate.count("num_seeds", self.num_seeds)

    @property
    def on_host(self) -> bool:
        return True

    @property
    def unit(self) -> Unit:
        return STEPS

    @property
    def per_gather(self) -> None:
        return None

    def init(self, behaviour: Any, *, key) -> HostState:
        del key  # the pool was given the run's seed
        self.pool().episodes = np.zeros(self.pool().num_envs, np.int64)
        return fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)

    def resume(self, state: HostState, behaviour: Any) -> HostState:
        del behaviour
        self.pool().episodes = np.asarray(state.episode).reshape(-1)
        return state

    def gather(self, state: HostState, behaviour: Any, *, key) -> tuple[HostState, EpisodeBatch]:
        self.pool().episodes = self.pool().episodes + 1
        observation = _by_seed(self.pool().reset(), self.num_seeds)
        alive = np.ones(observation.shape[:2], bool)
        carry, rows, masks = _of_each_env(behaviour.initial_carry, alive.shape[1]), [], []
        while len(rows) < self.max_steps and alive.any():
            action, record, carry = behaviour.act(
                observation, carry, key_data=key, time=len(rows), num_steps=self.max_steps
            )
            step = step_pool(self.pool(), self.num_seeds, action)
            rows.append(_row(observation, action, record, step, self.num_seeds))
            masks.append(alive)
            observation = _by_seed(step.observation, self.num_seeds)
            alive = alive & ~_by_seed(step.terminated | step.truncated, self.num_seeds)
        batch = self._padded(rows, masks)
        statistics, fault = _account_episodes(state.statistics, state.fault, batch, state.progress)
        episode = _by_seed(self.pool().episodes, self.num_seeds)
        progress = state.progress + batch.mask.sum(axis=(1, 2), dtype=np.int32)
        return HostState(episode, observation, carry, progress, statistics, fault), batch

    def _padded(self, rows: list[tuple], masks: list[np.ndarray]) -> EpisodeBatch:
        missing = self.max_steps - len(rows)

        def pad(*xs):
            x = np.stack(xs, axis=1)
            return np.concatenate([x, np.repeat(x[:, -1:], missing, axis=1)], axis=1)

        transition = Transition(*jax.tree.map(pad, *rows))
        mask = np.stack(masks, axis=1)
        mask = np.pad(mask, ((0, 0), (0, missing), (0, 0)))
        last = np.arange(self.max_steps)[None, :, None] == self.max_steps - 1
        truncated = transition.truncated | (last & mask & ~transition.terminated)
        reward = np.where(mask, transition.reward, np.zeros((), transition.reward.dtype))
        transition = eqx.tree_at(lambda t: (t.reward, t.truncated), transition, (reward, truncated))
        return EpisodeBatch(transition, mask)


def fresh_host_state(pool: AbstractPool, num_seeds: int, carry: PyTree) -> HostState:
    """Reset the pool and count from 0; `carry` is one environment's, `[seed, ...]`."""
    observation, num_envs = _by_seed(pool.reset(), num_seeds), pool.num_envs // num_seeds
    per_seed = lambda tree: jax.tree.map(lambda x: np.stack([np.asarray(x)] * num_seeds), tree)
    return HostState(
        _by_seed(pool.episodes, num_seeds),
        observation,
        _of_each_env(carry, num_envs),
        np.zeros(num_seeds, np.int32),
        per_seed(no_statistics(num_envs)),
        per_seed(no_fault()),
    )


def step_pool(pool: AbstractPool, num_seeds: int, action: Array) -> PoolStep:
    """Act in every environment of every seed; the policy's units become the environment's."""
    flat = np.asarray(action).reshape(pool.num_envs, *action.shape[2:])
    if isinstance(pool.action_space, gym.spaces.Box):
        flat = scale_action(pool.action_space, flat)
    return pool.step(flat)


def _by_seed(x: np.ndarray, num_seeds: int) -> np.ndarray:
    return x.reshape(num_seeds, -1, *x.shape[1:])


def _of_each_env(carry: PyTree, num_envs: int) -> PyTree:
    return jax.tree.map(lambda x: np.repeat(np.asarray(x)[:, None], num_envs, axis=1), carry)


def _row(observation, action, record, step: PoolStep, num_seeds: int) -> tuple:
    """The fields of a `Transition`; to make a module at every step costs 60 µs."""
    by_seed = lambda x: _by_seed(x, num_seeds)
    return (
        observation,
        action,
        by_seed(step.reward),
        by_seed(step.next_observation),
        by_seed(step.terminated),
        by_seed(step.truncated),
        record,
    )


def _restarted(carry: PyTree, initial: PyTree, boundary: np.ndarray) -> PyTree:
    """`initial` is one environment's, `[seed, ...]`; memories are `[seed, env, ...]`."""

    def pick(initial, carry):
        choose = boundary.reshape(*boundary.shape, *[1] * (carry.ndim - 2))
        return np.where(choose, np.asarray(initial)[:, None], np.asarray(carry))

    return jax.tree.map(pick, initial, carry)


@jax.jit
@jax.vmap
def _account(
    statistics: EpisodeStatistics, fault: Fault, rollout: Transition, steps: Array
) -> tuple[EpisodeStatistics, Fault]:
    """Count the episodes that ended, and look for a number that is not finite."""
    step = lambda statistics, row: (statistics.add(*row), None)
    after, _ = jax.lax.scan(step, statistics, (rollout.reward, rollout.boundary))
    return after, fault.first(rollout, steps)


@jax.jit
@jax.vmap
def _account_episodes(
    statistics: EpisodeStatistics, fault: Fault, batch: EpisodeBatch, steps: Array
):
    """The same where each column is one episode, up to the end of its mask."""
    transition = batch.transition
    counted = EpisodeStatistics(
        jnp.zeros_like(statistics.episode_return),
        jnp.zeros_like(statistics.episode_length),
        statistics.finished_return + transition.reward.sum(axis=0).astype(jnp.float32),
        statistics.finished_length + batch.mask.sum(axis=0, dtype=jnp.int32),
        statistics.finished + 1,
    )
    return counted, fault.first(transition, steps, mask=batch.mask)


def _without_partial(statistics: EpisodeStatistics) -> EpisodeStatistics:
    """Forget the episodes under way: a resumed run cannot go on with them."""
    zero = lambda t: (t.episode_return, t.episode_length)
    return eqx.tree_at(zero, statistics, jax.tree.map(jnp.zeros_like, zero(statistics)))
