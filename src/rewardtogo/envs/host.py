"""Gymnasium environments, many at a time: what a pool offers, and the pool in this process."""

import abc
import faulthandler
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Int64, Shaped

from .. import validate
from ..tabular.problems.gymnasium_registry import time_limit
from .block import (
    IDLE,
    INDEX,
    Block,
    Buffers,
    EnvironmentFault,
    Ledger,
    PoolStep,
    collect,
    episode_seed,
    episode_seeds,
    first_observation,
    make_all,
    observation_dtype,
    own_actions,
)
from .factory import HostFactory, make_host, require_spaces


__all__ = [
    "AbstractPool",
    "EnvironmentFault",
    "HostFactory",
    "InProcess",
    "PoolStep",
    "episode_seed",
    "make_host",
]

HANG_EXIT_STATUS = 70  # EX_SOFTWARE


class AbstractPool(abc.ABC):
    """Several copies of one Gymnasium environment, stepped together and reset as they end.

    Environment `i` begins its episode `e` with `episode_seed(run_seed, i, e)`, so a run can be
    repeated and resumed. Observations of float boxes come in the dtype the pool was given, others
    in their space's; discrete observations and actions are counted from 0.
    """

    num_envs: int
    observation_space: gym.Space  # of one environment
    action_space: gym.Space  # of one environment
    max_episode_steps: int | None  # the limit on time, where the environment's spec states one

    @property
    @abc.abstractmethod
    def episodes(self) -> Int64[np.ndarray, " env"]:
        """The number of each environment's episode, from 0; set it, then `reset()`, to resume."""

    @episodes.setter
    @abc.abstractmethod
    def episodes(self, value: Sequence[int] | np.ndarray) -> None: ...

    @abc.abstractmethod
    def reset(self, seeds: Sequence[int] | None = None) -> Shaped[np.ndarray, "env ..."]:
        """Begin each environment's current episode anew; `episodes` stays as it is.

        **Arguments:** `seeds`: one each; without them, those of the episodes.
        **Returns:** the first observations, in an array of the caller's own.
        **Raises:** `EnvironmentFault` if an environment fails.
        """

    @abc.abstractmethod
    def step(self, actions: Shaped[np.ndarray, "env ..."]) -> PoolStep:
        """Act once in every environment, in the action space's own units.

        **Raises:** `EnvironmentFault` if an environment fails, `ValueError` if the actions have
        another shape than `(num_envs, *action_space.shape)`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close the environments; more than once is fine."""


class InProcess(AbstractPool):
    """A pool that steps in this process, in a Python loop.

    Where a step or reset takes longer than `timeout` seconds, a watchdog prints what hangs and
    ends the process with exit status 70. It cannot see a hang in C code that holds the
    interpreter's lock; `Workers` can.

    **Arguments:** `make`: makes one environment. `timeout`: in seconds; None is for ever. `dtype`:
    of float observations and of rewards.
    **Raises:** `ValueError` for counts, times or spaces out of range; `EnvironmentFault` if an
    environment cannot be made.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env],
        num_envs: int,
        *,
        run_seed: int,
        timeout: float | None = None,
        dtype: Any = np.float32,
    ):
        require_pool(num_envs, run_seed, timeout)
        envs = make_all(make, range(num_envs))
        self.num_envs = num_envs
        self.observation_space, self.action_space = require_spaces(envs[0])
        self.max_episode_steps = time_limit(envs[0])
        self._run_seed = run_seed
        observation = observation_dtype(self.observation_space, dtype)
        shape = (num_envs, *(self.observation_space.shape or ()))
        self._buffers = Buffers(
            np.zeros(shape, observation),
            np.zeros(shape, observation),
            np.zeros(num_envs, dtype),
            np.zeros(num_envs, bool),
            np.zeros(num_envs, bool),
        )
        self._ledger = Ledger(*(np.zeros(num_envs, np.int64) for _ in range(3)))
        progress = memoryview(bytearray(24)).cast("q")
        progress[INDEX] = IDLE
        self._block = Block(
            envs,
            first=0,
            run_seed=run_seed,
            buffers=self._buffers,
            ledger=self._ledger,
            progress=progress,
        )
        self._closed = threading.Event()
        if timeout is not None:
            weakref.finalize(self, self._closed.set)
            watched = (self._ledger, progress, timeout, self._closed)
            threading.Thread(target=_watch, args=watched, daemon=True).start()

    @property
    def episodes(self) -> Int64[np.ndarray, " env"]:
        """The number of each environment's episode, from 0; set it, then `reset()`, to resume."""
        return self._ledger.episodes.copy()

    @episodes.setter
    def episodes(self, value: Sequence[int] | np.ndarray) -> None:
        self._ledger.episodes[:] = value

    def reset(self, seeds: Sequence[int] | None = None) -> Shaped[np.ndarray, "env ..."]:
        """Begin each environment's current episode anew; `episodes` stays as it is."""
        self._require_open()
        if seeds is None:
            seeds = episode_seeds(self._run_seed, self._ledger.episodes)
        self._ledger.seeds[:] = seeds
        self._block.reset()
        return first_observation(self._buffers, self.observation_space)

    def step(self, actions: Shaped[np.ndarray, "env ..."]) -> PoolStep:
        """Act once in every environment, in the action space's own units."""
        self._require_open()
        any_ended = self._block.step(own_actions(self.action_space, actions, self.num_envs))
        return collect(self._buffers, self.observation_space, any_ended)

    def close(self) -> None:
        """Close the environments; more than once is fine."""
        if not self._closed.is_set():
            self._closed.set()
            self._block.close()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise RuntimeError("this pool of environments is closed.")


def require_pool(num_envs: int, run_seed: int, timeout: float | None) -> None:
    """Raise `ValueError` for a number of environments, seed or time out of range."""
    validate.count("num_envs", num_envs)
    validate.count("run_seed", run_seed, least=0)
    if timeout is not None:
        validate.positive("timeout", timeout)


class HangClock:
    """Tells when progress has stood still for longer than `timeout` seconds, if not None.

    Looks are counted, `interval` seconds apart, and not read off a clock: a process that was
    suspended for a night has not hung.
    """

    def __init__(self, timeout: float | None):
        self._looks = math.inf if timeout is None else max(10, math.ceil(timeout))
        self.interval = 1.0 if timeout is None else timeout / self._looks
        self._before: tuple[int, ...] = ()
        self._still = 0

    def has_run_out(self, now: tuple[int, ...]) -> bool:
        """Look once more, at a copy of the progress."""
        self._still = self._still + 1 if now == self._before else 0
        self._before = now
        return self._still >= self._looks


def _watch(ledger: Ledger, progress: memoryview, timeout: float, closed: threading.Event) -> None:
    """End the process when a call into an environment lasts too long."""
    clock = HangClock(timeout)
    while not closed.wait(clock.interval):
        now = tuple(progress)
        if clock.has_run_out(now) and now[INDEX] != IDLE:
            _end_process(ledger.whereabouts(now[INDEX], now), now[INDEX], timeout)


def _end_process(where: str, index: int, timeout: float) -> None:
    print(
        f"\nError: environment {index} hangs: {where} has taken longer than the {timeout:g} s of "
        "`--env-timeout`. The run ends here; its checkpoints stay. With `--env-workers N` "
        "environments run in processes of their own. Where it hangs:",
        file=sys.stderr,
        flush=True,
    )
    faulthandler.dump_traceback(file=2, all_threads=True)
    # The thread that hangs cannot be stopped, so neither can the interpreter in good order.
    os._exit(HANG_EXIT_STATUS)
