"""What one process of `Workers` does, and the memory it shares with the others."""

import ctypes
import json
import math
import multiprocessing as mp
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from typing import Any

import gymnasium as gym
import numpy as np
from jaxtyping import Shaped

from .block import (
    IDLE,
    INDEX,
    Block,
    Buffers,
    EnvironmentFault,
    Ledger,
    make_all,
    observation_dtype,
)


RESET, STEP, CLOSE = b"reset", b"step", b"close"
DONE = b""  # the answer to a command; any other answer is a fault, as JSON


@dataclass(frozen=True)
class SharedArray:
    """Anonymous memory that a spawned process inherits, and that is gone with the last of them."""

    raw: Any
    shape: tuple[int, ...]
    dtype: np.dtype

    def array(self) -> Shaped[np.ndarray, "..."]:
        """Look at the memory as an array."""
        return np.frombuffer(self.raw, self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class Shared:
    """Everything that the processes of one pool share."""

    buffers: tuple[SharedArray, ...]
    ledger: tuple[SharedArray, ...]
    actions: SharedArray
    progress: SharedArray  # a row for each worker

    def part(self, environments: slice) -> tuple[Buffers, Ledger]:
        """Look at the rows of some environments."""
        return (
            Buffers(*(shared.array()[environments] for shared in self.buffers)),
            Ledger(*(shared.array()[environments] for shared in self.ledger)),
        )


def allocate(
    context: SpawnContext,
    num_envs: int,
    num_workers: int,
    observation_space: gym.Space,
    action_space: gym.Space,
    dtype: Any,
) -> Shared:
    """Allocate zeros for `num_envs` environments."""

    def zeros(dtype: Any, *shape: int) -> SharedArray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return SharedArray(context.RawArray(ctypes.c_byte, max(size, 1)), shape, np.dtype(dtype))

    observation = observation_dtype(observation_space, dtype)
    shape = (num_envs, *(observation_space.shape or ()))
    progress = zeros(np.int64, num_workers, 3)
    progress.array()[:, INDEX] = IDLE
    return Shared(
        buffers=(
            zeros(observation, *shape),
            zeros(observation, *shape),
            zeros(dtype, num_envs),
            zeros(bool, num_envs),
            zeros(bool, num_envs),
        ),
        ledger=tuple(zeros(np.int64, num_envs) for _ in range(3)),
        actions=zeros(action_space.dtype, num_envs, *(action_space.shape or ())),
        progress=progress,
    )


def work(
    connection: Connection,
    make: Callable[[], gym.Env],
    number: int,
    environments: slice,
    run_seed: int,
    shared: Shared,
) -> None:
    """Make this worker's environments and do as told, until told to close or left alone."""
    # Ctrl-C reaches the whole group of processes, but how the run ends is for its owner to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _serve(connection, make, number, environments, run_seed, shared)
    except EnvironmentFault as fault:
        connection.send_bytes(_encoded(fault, number))
    except (EOFError, BrokenPipeError):
        pass  # the owner is gone


def decoded(answer: bytes) -> EnvironmentFault:
    """Read a worker's fault; the traceback from its process comes as a note."""
    record = json.loads(answer)
    fault = EnvironmentFault(record["message"], environments=record["environments"])
    fault.add_note(record["note"])
    return fault


def _encoded(fault: EnvironmentFault, number: int) -> bytes:
    origin = "".join(traceback.format_exception(fault.__cause__ or fault))
    record = {
        "message": str(fault),
        "environments": fault.environments,
        "note": f"In worker {number}:\n{origin}",
    }
    return json.dumps(record).encode()


def _serve(
    connection: Connection,
    make: Callable[[], gym.Env],
    number: int,
    environments: slice,
    run_seed: int,
    shared: Shared,
) -> None:
    buffers, ledger = shared.part(environments)
    actions = shared.actions.array()[environments]
    block = Block(
        make_all(make, range(environments.start, environments.stop)),
        first=environments.start,
        run_seed=run_seed,
        buffers=buffers,
        ledger=ledger,
        progress=memoryview(shared.progress.array()[number]),
    )
    connection.send_bytes(DONE)
    while (command := connection.recv_bytes()) != CLOSE:
        if command == RESET:
            block.reset()
        else:
            # A copy, since an environment may keep its action, and the memory is written again.
            block.step(actions.copy())
        connection.send_bytes(DONE)
    block.close()


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        # An environment that hangs, or takes long, would keep this process alive.
        os._exit(1)
