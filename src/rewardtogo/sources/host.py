"""Fresh experience from environments that live in Python."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from .. import validate
from ..envs.host import AbstractPool, PoolStep
from ..envs.wrappers import scale_action
from ..types import EpisodeBatch, Transition
from .episode_statistics import Tally, no_statistics
from .fault import Fault, no_fault
from .protocol import AbstractSource


class HostState(eqx.Module):
    """What can be saved of environments that cannot be: arrays are `[seed, ...]`."""

    episode: Int[np.ndarray, "seed env"]
    observation: np.ndarray
    memory: PyTree
    steps: np.ndarray
    tally: Tally
    fault: Fault


class HostRollout(AbstractSource):
    """`num_steps` of each environment of a pool; batches have axes `(time, env)`.

    `pool()` is the pool, always the same one; it holds the environments of all seeds, one seed's
    after another's. It is the one thing in the library with a hidden state: what it holds cannot be
    saved, so a resumed run begins new episodes, with the seeds that come next.
    """

    pool: Callable[[], AbstractPool] = eqx.field(static=True)
    num_envs: int
    num_steps: int
    num_seeds: int = 1

    def __check_init__(self):
        validate.count("num_envs", self.num_envs)
        validate.count("num_steps", self.num_steps)
        validate.count("num_seeds", self.num_seeds)

    @property
    def on_host(self) -> bool:
        return True

    @property
    def steps_per_gather(self) -> int:
        return self.num_envs * self.num_steps

    @property
    def warmup(self) -> None:
        return None

    def init(self, behaviour: Any, *, key) -> HostState:
        del key  # the pool was given the run's seed
        self.pool().episodes = np.zeros(self.pool().num_envs, np.int64)
        return fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)

    def resume(self, state: HostState, memory: Any, behaviour: Any) -> tuple[HostState, Any]:
        self.pool().episodes = np.asarray(state.episode).reshape(-1) + 1
        fresh = fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)
        counted = (state.steps, _without_partial(state.tally), state.fault)
        return eqx.tree_at(lambda s: (s.steps, s.tally, s.fault), fresh, counted), memory

    def gather(self, state: HostState, behaviour: Any, *, key) -> tuple[HostState, Transition]:
        rows = []
        observation, memory = state.observation, state.memory
        for time in range(self.num_steps):
            action, record, memory = behaviour.act(
                observation, memory, key_data=key, time=time, num_steps=self.num_steps
            )
            step = step_pool(self.pool(), self.num_seeds, action)
            rows.append(_row(observation, action, record, step, self.num_seeds))
            observation = _by_seed(step.observation, self.num_seeds)
            boundary = _by_seed(step.terminated | step.truncated, self.num_seeds)
            memory = _restarted(memory, behaviour.initial_carry, boundary)
        rollout = Transition(*jax.tree.map(lambda *xs: np.stack(xs, axis=1), *rows))
        tally, fault = _account(state.tally, state.fault, rollout, state.steps)
        episode = _by_seed(self.pool().episodes, self.num_seeds)
        steps = state.steps + self.steps_per_gather
        return HostState(episode, observation, memory, steps, tally, fault), rollout

    def empty_memory(self, gathered: Transition) -> tuple[()]:
        del gathered
        return ()

    def absorb(self, memory: tuple[()], gathered: Transition, *, index) -> tuple[()]:
        del gathered, index
        return memory

    def batches(self, memory: tuple[()], gathered: Transition, *, index, key) -> Transition:
        del memory, index, key
        return jax.tree.map(lambda x: x[None], gathered)


class HostEpisodes(AbstractSource):
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
    def steps_per_gather(self) -> None:
        return None

    @property
    def warmup(self) -> None:
        return None

    def init(self, behaviour: Any, *, key) -> HostState:
        del key  # the pool was given the run's seed
        self.pool().episodes = np.zeros(self.pool().num_envs, np.int64)
        return fresh_host_state(self.pool(), self.num_seeds, behaviour.initial_carry)

    def resume(self, state: HostState, memory: Any, behaviour: Any) -> tuple[HostState, Any]:
        del behaviour
        self.pool().episodes = np.asarray(state.episode).reshape(-1)
        return state, memory

    def gather(self, state: HostState, behaviour: Any, *, key) -> tuple[HostState, EpisodeBatch]:
        self.pool().episodes = self.pool().episodes + 1
        observation = _by_seed(self.pool().reset(), self.num_seeds)
        alive = np.ones(observation.shape[:2], bool)
        memory, rows, masks = _of_each_env(behaviour.initial_carry, alive.shape[1]), [], []
        while len(rows) < self.max_steps and alive.any():
            action, record, memory = behaviour.act(
                observation, memory, key_data=key, time=len(rows), num_steps=self.max_steps
            )
            step = step_pool(self.pool(), self.num_seeds, action)
            rows.append(_row(observation, action, record, step, self.num_seeds))
            masks.append(alive)
            observation = _by_seed(step.observation, self.num_seeds)
            alive = alive & ~_by_seed(step.terminated | step.truncated, self.num_seeds)
        batch = self._padded(rows, masks)
        tally, fault = _account_episodes(state.tally, state.fault, batch, state.steps)
        episode = _by_seed(self.pool().episodes, self.num_seeds)
        steps = state.steps + batch.mask.sum(axis=(1, 2), dtype=np.int32)
        return HostState(episode, observation, memory, steps, tally, fault), batch

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

    def empty_memory(self, gathered: EpisodeBatch) -> tuple[()]:
        del gathered
        return ()

    def absorb(self, memory: tuple[()], gathered: EpisodeBatch, *, index) -> tuple[()]:
        del gathered, index
        return memory

    def batches(self, memory: tuple[()], gathered: EpisodeBatch, *, index, key) -> EpisodeBatch:
        del memory, index, key
        return jax.tree.map(lambda x: x[None], gathered)


def fresh_host_state(pool: AbstractPool, num_seeds: int, memory: PyTree) -> HostState:
    """Reset the pool and count from 0; `memory` is one environment's, `[seed, ...]`."""
    observation, num_envs = _by_seed(pool.reset(), num_seeds), pool.num_envs // num_seeds
    per_seed = lambda tree: jax.tree.map(lambda x: np.stack([np.asarray(x)] * num_seeds), tree)
    return HostState(
        _by_seed(pool.episodes, num_seeds),
        observation,
        _of_each_env(memory, num_envs),
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


def _of_each_env(memory: PyTree, num_envs: int) -> PyTree:
    return jax.tree.map(lambda x: np.repeat(np.asarray(x)[:, None], num_envs, axis=1), memory)


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


def _restarted(memory: PyTree, initial: PyTree, boundary: np.ndarray) -> PyTree:
    """`initial` is one environment's, `[seed, ...]`; memories are `[seed, env, ...]`."""

    def pick(initial, memory):
        choose = boundary.reshape(*boundary.shape, *[1] * (memory.ndim - 2))
        return np.where(choose, np.asarray(initial)[:, None], np.asarray(memory))

    return jax.tree.map(pick, initial, memory)


@jax.jit
@jax.vmap
def _account(tally: Tally, fault: Fault, rollout: Transition, steps: Array) -> tuple[Tally, Fault]:
    """Count the episodes that ended, and look for a number that is not finite."""
    step = lambda tally, row: (tally.add(*row), None)
    after, _ = jax.lax.scan(step, tally, (rollout.reward, rollout.boundary))
    return after, fault.first(rollout, steps)


@jax.jit
@jax.vmap
def _account_episodes(tally: Tally, fault: Fault, batch: EpisodeBatch, steps: Array):
    """The same where each column is one episode, up to the end of its mask."""
    transition = batch.transition
    counted = Tally(
        jnp.zeros_like(tally.episode_return),
        jnp.zeros_like(tally.episode_length),
        tally.finished_return + transition.reward.sum(axis=0).astype(jnp.float32),
        tally.finished_length + batch.mask.sum(axis=0, dtype=jnp.int32),
        tally.finished + 1,
    )
    return counted, fault.first(transition, steps, mask=batch.mask)


def _without_partial(tally: Tally) -> Tally:
    """Forget the episodes under way: a resumed run cannot go on with them."""
    zero = lambda t: (t.episode_return, t.episode_length)
    return eqx.tree_at(zero, tally, jax.tree.map(jnp.zeros_like, zero(tally)))
