"""An environment by its name, wherever it lives, as algorithms are built on it."""

import abc
import contextlib
import dataclasses
import functools as ft
from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium as gym

from ..envs.factory import HostFactory, make_host
from ..envs.history import NO_HISTORY, History
from ..envs.host import AbstractPool, InProcess
from ..envs.protocol import AbstractEnvironment
from ..envs.registry import TABULAR, is_jax_environment, make
from ..envs.tabular import exact_optimum
from ..envs.workers import Workers
from ..envs.wrappers import (
    FlatObservations,
    ScaledActions,
    TimeLimit,
    inside_limit,
    scaled_action_space,
)
from ..spaces import is_flat_dict
from ..tabular.problems.gymnasium_registry import time_limit
from ..types import Optimum
from .episodes import Episodes
from .host import HostEpisodes, HostRollout
from .protocol import AbstractSource
from .rollout import Rollout


Backend = Literal["auto", "jax", "gymnasium"]


class AbstractTask(abc.ABC):
    """An environment that policies act on in units of [-1, 1] where it has two finite bounds."""

    name: str
    num_seeds: int

    @property
    @abc.abstractmethod
    def observation_space(self) -> gym.Space:
        """What a policy sees."""

    @property
    @abc.abstractmethod
    def action_space(self) -> gym.Space:
        """What a policy may do."""

    @property
    @abc.abstractmethod
    def raw_action_space(self) -> gym.Space:
        """What the environment itself takes."""

    @property
    @abc.abstractmethod
    def max_steps(self) -> int | None:
        """The environment's own limit on an episode's steps, where it has one."""

    @property
    @abc.abstractmethod
    def optimum(self) -> Optimum | None:
        """The best expected return of an episode, where it is known exactly."""

    @abc.abstractmethod
    def rollout(self, num_envs: int, num_steps: int) -> AbstractSource:
        """A source of `num_steps` steps of `num_envs` environments a seed."""

    @abc.abstractmethod
    def episodes(self, num_episodes: int, max_steps: int) -> AbstractSource:
        """A source of whole episodes."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close what its sources have opened."""


@dataclasses.dataclass(frozen=True)
class JaxTask(AbstractTask):
    """An environment written in JAX: everything runs in one compiled program."""

    name: str
    env: AbstractEnvironment
    num_seeds: int

    @property
    def observation_space(self) -> gym.Space:
        return self.env.observation_space

    @property
    def action_space(self) -> gym.Space:
        return self.env.action_space

    @property
    def raw_action_space(self) -> gym.Space:
        return self._own_env.action_space

    @property
    def max_steps(self) -> int | None:
        env = self._own_env
        return env.max_steps if isinstance(env, TimeLimit) else None

    @property
    def _own_env(self) -> AbstractEnvironment:
        env = self.env
        return env.env if isinstance(env, ScaledActions) else env

    @ft.cached_property
    def optimum(self) -> Optimum | None:
        return exact_optimum(self.env)

    def rollout(self, num_envs: int, num_steps: int) -> AbstractSource:
        return Rollout(self.env, num_envs, num_steps)

    def episodes(self, num_episodes: int, max_steps: int) -> AbstractSource:
        return Episodes(self.env, num_episodes, max_steps)

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class HostTask(AbstractTask):
    """A Gymnasium environment: Python steps it, the rest is compiled."""

    name: str
    factory: HostFactory
    num_seeds: int
    run_seed: int
    timeout: float | None
    num_workers: int
    _opened: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)

    @ft.cached_property
    def _spaces(self) -> tuple[gym.Space, gym.Space, int | None]:
        with contextlib.closing(self.factory()) as env:
            return env.observation_space, env.action_space, time_limit(env)

    @property
    def observation_space(self) -> gym.Space:
        return self._spaces[0]

    @property
    def action_space(self) -> gym.Space:
        space = self.raw_action_space
        return scaled_action_space(space) if isinstance(space, gym.spaces.Box) else space

    @property
    def raw_action_space(self) -> gym.Space:
        return self._spaces[1]

    @property
    def max_steps(self) -> int | None:
        return self._spaces[2]

    @property
    def optimum(self) -> None:
        return None

    def pool(self, num_envs: int, *, run_seed: int) -> AbstractPool:
        """Live environments, `num_envs` for each seed."""
        total, make = num_envs * self.num_seeds, self.factory
        if self.num_workers == 0:
            return InProcess(make, total, run_seed=run_seed, timeout=self.timeout)
        workers = min(self.num_workers, total)
        return Workers(make, total, num_workers=workers, run_seed=run_seed, timeout=self.timeout)

    def rollout(self, num_envs: int, num_steps: int) -> AbstractSource:
        return HostRollout(self._lazy_pool(num_envs), num_envs, num_steps, self.num_seeds)

    def episodes(self, num_episodes: int, max_steps: int) -> AbstractSource:
        return HostEpisodes(self._lazy_pool(num_episodes), max_steps, self.num_seeds)

    def _lazy_pool(self, num_envs: int) -> Callable[[], AbstractPool]:
        """Nothing is started before a source is asked for its first step."""

        def open_pool() -> AbstractPool:
            pool = self.pool(num_envs, run_seed=self.run_seed)
            self._opened.callback(pool.close)
            return pool

        return ft.cache(open_pool)

    def close(self) -> None:
        self._opened.close()


def is_jax_task(name: str, backend: Backend) -> bool:
    """Whether `make_task` takes a version written in JAX."""
    return backend == "jax" or (backend == "auto" and is_jax_environment(name))


def make_task(
    name: str,
    *,
    num_seeds: int,
    run_seed: int,
    backend: Backend = "auto",
    env_args: Mapping[str, Any] = {},
    history: History = NO_HISTORY,
    timeout: float | None = None,
    num_workers: int = 0,
) -> AbstractTask:
    """Find the environment `name`: in JAX where there is such a version, else in Gymnasium.

    **Arguments:** `history`: what of the past an observation holds. `timeout`: seconds after which
    a host environment counts as hung. `num_workers`: processes for host environments; 0 steps them
    in this one.
    **Raises:** `ValueError` for a name, an argument or a space that will not do.
    """
    if backend == "gymnasium" and name.startswith(TABULAR):
        raise ValueError(
            f"{name!r} runs in JAX, not in Gymnasium; {name.removeprefix(TABULAR)!r} without "
            f"{TABULAR!r} would be Gymnasium's name."
        )
    if is_jax_task(name, backend):
        env = make(name, env_args)
        if is_flat_dict(env.observation_space):
            env = inside_limit(FlatObservations, env)
        env = history.around(env)
        if isinstance(env.action_space, gym.spaces.Box):
            env = ScaledActions(env)
        return JaxTask(name, env, num_seeds)
    factory = make_host(name, env_args, history)
    return HostTask(name, factory, num_seeds, run_seed, timeout, num_workers)
