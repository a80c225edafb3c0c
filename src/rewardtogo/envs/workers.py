"""Gymnasium environments in processes of their own, behind the interface of a pool."""

import atexit
import contextlib
import multiprocessing as mp
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Int64, Shaped

from .. import validate
from ..tabular.problems.gymnasium_registry import time_limit
from .block import (
    INDEX,
    EnvironmentFault,
    PoolStep,
    collect,
    episode_seeds,
    first_observation,
    make_all,
    own_actions,
)
from .factory import require_spaces
from .host import AbstractPool, HangClock, require_pool
from .worker import CLOSE, DONE, RESET, STEP, Shared, allocate, decoded, work


# Never forked: JAX runs threads, and a fork copies their locks without them.
_CONTEXT = mp.get_context("spawn")
_GRACE_SECONDS = 2.0  # for environments to close


@dataclass(frozen=True)
class _Worker:
    number: int
    environments: slice
    process: SpawnProcess
    connection: Connection
    progress: memoryview


class Workers(AbstractPool):
    """A pool whose environments are split over processes; arrays pass through shared memory.

    Each step waits for the slowest worker. Where an environment raises or hangs for longer than
    `timeout`, or its process dies, the pool closes and `EnvironmentFault` says which and where.
    The processes end with this one, however it ends.

    **Arguments:** `make`: makes one environment; it is pickled, to be sent to the processes.
    `num_workers`: how many processes, at most `num_envs`. `timeout`: in seconds; None is for ever.
    `dtype`: of float observations and of rewards.
    **Raises:** `ValueError` for counts, times or spaces out of range, or a `make` that cannot be
    pickled; `EnvironmentFault` if an environment cannot be made.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env],
        num_envs: int,
        *,
        num_workers: int,
        run_seed: int,
        timeout: float | None = None,
        dtype: Any = np.float32,
    ):
        require_pool(num_envs, run_seed, timeout)
        _require_workers(make, num_envs, num_workers)
        (probe,) = make_all(make, [0])
        with contextlib.closing(probe):
            spaces = self.observation_space, self.action_space = require_spaces(probe)
            self.max_episode_steps = time_limit(probe)
        self.num_envs = num_envs
        self._run_seed = run_seed
        self._timeout = timeout
        shared = allocate(_CONTEXT, num_envs, num_workers, *spaces, dtype)
        self._buffers, self._ledger = shared.part(slice(None))
        self._actions = shared.actions.array()
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _end, self._workers)
        # So that it runs before multiprocessing's own exit handler, which waits for the workers.
        atexit.register(self._end)
        for number in range(num_workers):
            share = slice(*(num_envs * n // num_workers for n in (number, number + 1)))
            self._workers.append(_start(number, share, make, run_seed, shared))
        self._collect_answers(None)

    @property
    def episodes(self) -> Int64[np.ndarray, " env"]:
        """The number of each environment's episode, from 0; set it, then `reset()`, to resume."""
        return self._ledger.episodes.copy()

    @episodes.setter
    def episodes(self, value: Sequence[int] | np.ndarray) -> None:
        self._ledger.episodes[:] = value

    def reset(self, seeds: Sequence[int] | None = None) -> Shaped[np.ndarray, "env ..."]:
        """Begin each environment's current episode anew; `episodes` stays as it is."""
        if seeds is None:
            seeds = episode_seeds(self._run_seed, self._ledger.episodes)
        self._ledger.seeds[:] = seeds
        self._command(RESET)
        return first_observation(self._buffers, self.observation_space)

    def step(self, actions: Shaped[np.ndarray, "env ..."]) -> PoolStep:
        """Act once in every environment, in the action space's own units."""
        self._actions[...] = own_actions(self.action_space, actions, self.num_envs)
        self._command(STEP)
        any_ended = bool((self._buffers.terminated | self._buffers.truncated).any())
        return collect(self._buffers, self.observation_space, any_ended)

    def close(self) -> None:
        """End the processes; more than once is fine."""
        self._end()
        atexit.unregister(self._end)

    def _command(self, command: bytes) -> None:
        if not self._end.alive:
            raise RuntimeError("this pool of environments is closed.")
        for worker in self._workers:
            # One that is gone is noticed when its answer is waited for.
            with contextlib.suppress(OSError):
                worker.connection.send_bytes(command)
        self._collect_answers(self._timeout)

    def _collect_answers(self, timeout: float | None) -> None:
        for worker in self._workers:
            fault = self._wait(worker, timeout)
            if fault is not None:
                self.close()
                raise fault

    def _wait(self, worker: _Worker, timeout: float | None) -> EnvironmentFault | None:
        clock = HangClock(timeout)
        while not worker.connection.poll(clock.interval):
            for other in self._workers:
                if other.process.exitcode is not None:
                    return _received(other) or _death(other)
            if timeout is not None and clock.has_run_out(tuple(worker.progress)):
                return self._hang(worker, timeout)
        return _received(worker)

    def _hang(self, worker: _Worker, timeout: float) -> EnvironmentFault:
        worker.process.kill()
        index = worker.environments.start + max(worker.progress[INDEX], 0)
        where = self._ledger.whereabouts(index, tuple(worker.progress))
        return EnvironmentFault(
            f"environment {index} hangs in worker {worker.number}: {where} has taken longer than "
            f"the {timeout:g} s of `--env-timeout`.",
            environments=(index,),
        )


def _require_workers(make: Callable[[], gym.Env], num_envs: int, num_workers: int) -> None:
    validate.count("num_workers", num_workers)
    if num_workers > num_envs:
        raise ValueError(
            f"`num_workers` must be at most `num_envs`, which is {num_envs}; got {num_workers}."
        )
    try:
        ForkingPickler.dumps(make)
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"`make` must be picklable to be sent to worker processes, so a function or dataclass "
            f"at the top of a module; got {make!r}: {error}"
        ) from error


def _start(
    number: int,
    environments: slice,
    make: Callable[[], gym.Env],
    run_seed: int,
    shared: Shared,
) -> _Worker:
    connection, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(
        target=work,
        args=(theirs, make, number, environments, run_seed, shared),
        name=f"environments {environments.start}-{environments.stop - 1}",
    )
    process.start()
    # Held by the worker alone, so that its death closes the pipe.
    theirs.close()
    progress = memoryview(shared.progress.array()[number])
    return _Worker(number, environments, process, connection, progress)


def _received(worker: _Worker) -> EnvironmentFault | None:
    try:
        answer = worker.connection.recv_bytes()
    except (EOFError, OSError):
        return _death(worker)
    return None if answer == DONE else decoded(answer)


def _death(worker: _Worker) -> EnvironmentFault:
    worker.process.join(_GRACE_SECONDS)
    code = worker.process.exitcode
    named = f" ({signal.Signals(-code).name})" if code is not None and code < 0 else ""
    held = range(worker.environments.start, worker.environments.stop)
    return EnvironmentFault(
        f"worker {worker.number}, which held the environments {', '.join(map(str, held))}, "
        f"died with exit code {code}{named}; what it printed is above.",
        environments=held,
    )


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        with contextlib.suppress(OSError):
            worker.connection.send_bytes(CLOSE)
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()
