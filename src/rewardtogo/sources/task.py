"""An environment by its name, wherever it lives, as algorithms are built on it."""

import abc
import contextlib
import dataclasses
import functools as ft
from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium as gym

from ..envs.factory import HostFactory, called, make_host
from ..envs.history import NO_HISTORY, History
from ..envs.host import AbstractPool, InProcess
from ..envs.protocol import AbstractEnvironment
from ..envs.registry import (
    TABULAR,
    is_jax_environment,
    is_jax_object,
    make,
    make_given,
    named_object,
)
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
from .collectors.absent import NoCollector
from .collectors.episodes import Episodes
from .collectors.host import HostEpisodes, HostRollout
from .collectors.rollout import Rollout
from .protocol import AbstractCollector


Backend = Literal["auto", "jax", "gymnasium"]

Environment = str | AbstractEnvironment | type | Callable[..., gym.Env]
"""A name, an environment in JAX or its class, or a class or function that makes a Gymnasium one."""


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
    def rollout(self, num_envs: int, num_steps: int) -> AbstractCollector:
        """A source of `num_steps` steps of `num_envs` environments a seed."""

    @abc.abstractmethod
    def episodes(self, num_episodes: int, max_steps: int) -> AbstractCollector:
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

    def rollout(self, num_envs: int, num_steps: int) -> AbstractCollector:
        return Rollout(self.env, num_envs, num_steps)

    def episodes(self, num_episodes: int, max_steps: int) -> AbstractCollector:
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

    def rollout(self, num_envs: int, num_steps: int) -> AbstractCollector:
        return HostRollout(self._lazy_pool(num_envs), num_envs, num_steps, self.num_seeds)

    def episodes(self, num_episodes: int, max_steps: int) -> AbstractCollector:
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


@dataclasses.dataclass(frozen=True)
class RecordedTask(AbstractTask):
    """What a run folder remembers of a task: enough for networks that fit, nothing to act in."""

    name: str
    num_seeds: int
    seen: gym.Space
    acted: gym.Space
    raw_acted: gym.Space
    limit: int | None

    @property
    def observation_space(self) -> gym.Space:
        return self.seen

    @property
    def action_space(self) -> gym.Space:
        return self.acted

    @property
    def raw_action_space(self) -> gym.Space:
        return self.raw_acted

    @property
    def max_steps(self) -> int | None:
        return self.limit

    @property
    def optimum(self) -> None:
        return None

    def rollout(self, num_envs: int, num_steps: int) -> AbstractCollector:
        return NoCollector(num_envs * num_steps)

    def episodes(self, num_episodes: int, max_steps: int) -> AbstractCollector:
        return NoCollector(num_episodes * max_steps)

    def close(self) -> None:
        pass


def is_jax_task(
    environment: Environment, backend: Backend, env_args: Mapping[str, Any] = {}
) -> bool:
    """Whether `make_task` takes a version written in JAX."""
    found, _ = _object(environment, env_args)
    if not isinstance(found, str):
        return is_jax_object(found)
    return backend == "jax" or (backend == "auto" and is_jax_environment(found))


def _object(environment: Any, env_args: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """What "package.module:Name" stands for, and the arguments that it has still to be given.

    Only when it is called does a function say whether it makes an environment in JAX.
    """
    if isinstance(environment, str):
        named = named_object(environment)
        return (environment, env_args) if named is None else _object(named, env_args)
    if isinstance(environment, gym.Env):
        raise ValueError(
            f"`environment` is one {type(environment).__name__}, and several are stepped side by "
            "side: give its class, its name, or a function that makes one."
        )
    if not (is_jax_object(environment) or callable(environment)):
        raise ValueError(
            "`environment` must be a name, an environment in JAX, or a class or function that "
            f"makes a gymnasium.Env; got {environment!r}."
        )
    if is_jax_object(environment) or isinstance(environment, type | GivenEnvironment):
        return environment, env_args
    made = environment(**env_args)
    if is_jax_object(made):
        return made, {}
    if isinstance(made, gym.Env):
        made.close()
    return environment, env_args


@dataclasses.dataclass(frozen=True)
class GivenEnvironment:
    """Stands for an environment that was given as an object: no name leads to it."""

    __name__: str

    def __call__(self) -> Any:
        raise ValueError(
            f"the run's environment, {self.__name__}, was given as an object and no name leads to "
            "it: give it again, as `environment`."
        )


def importable_name(environment: Environment) -> str | None:
    """A name under which another program finds the same environment; None where there is none.

    That is the name itself, or "package.module:Name" of a class or function of a module.
    """
    if isinstance(environment, str):
        return environment
    module = getattr(environment, "__module__", "__main__")
    name = getattr(environment, "__qualname__", "<object>")
    plain = module != "__main__" and name.isidentifier()
    return f"{module}:{name}" if plain else None


def make_task(
    environment: Environment,
    *,
    num_seeds: int,
    run_seed: int,
    backend: Backend = "auto",
    env_args: Mapping[str, Any] = {},
    history: History = NO_HISTORY,
    timeout: float | None = None,
    num_workers: int = 0,
) -> AbstractTask:
    """Find the environment: in JAX where there is such a version of a name, else in Gymnasium.

    **Arguments:** `history`: what of the past an observation holds. `timeout`: seconds after which
    a host environment counts as hung. `num_workers`: processes for host environments; 0 steps them
    in this one.
    **Raises:** `ValueError` for a name, an argument or a space that will not do.
    """
    name = environment if isinstance(environment, str) else called(environment)
    if backend == "gymnasium" and name.startswith(TABULAR):
        raise ValueError(
            f"{name!r} runs in JAX, not in Gymnasium; {name.removeprefix(TABULAR)!r} without "
            f"{TABULAR!r} would be Gymnasium's name."
        )
    found, args = _object(environment, env_args)
    if is_jax_task(found, backend):
        env = make(found, args) if isinstance(found, str) else make_given(found, args)
        if is_flat_dict(env.observation_space):
            env = inside_limit(FlatObservations, env)
        env = history.around(env)
        if isinstance(env.action_space, gym.spaces.Box):
            env = ScaledActions(env)
        return JaxTask(name, env, num_seeds)
    if backend == "jax":
        raise ValueError(f"{name} is a Gymnasium environment: `backend` jax cannot run it.")
    factory = make_host(found, args, history)
    return HostTask(name, factory, num_seeds, run_seed, timeout, num_workers)
