"""Is there room for the buffers of a run? Asked before anything is allocated or compiled."""

import gymnasium as gym
import numpy as np

from ..free_memory import require_room
from .buffers.prioritised import PrioritisedReplay
from .buffers.replay import Replay
from .protocol import AbstractBuffer
from .task import AbstractTask


def require_memory(buffer: AbstractBuffer, task: AbstractTask) -> None:
    """Raise `ValueError` if the replay buffers would take more than half of the free memory."""
    priority = 0
    if isinstance(buffer, PrioritisedReplay):
        buffer, priority = buffer.replay, 5  # 4, and 4/7 for the sums
    if not isinstance(buffer, Replay):
        return
    observation, action = (_bytes(s) for s in (task.observation_space, task.action_space))
    row = 2 * observation + action + 4 + 2 + priority  # reward, and two flags
    require_room(
        row * buffer.capacity * task.num_seeds,
        what=f"`buffer_size` {buffer.capacity:,}",
        detail=f"{task.num_seeds} seed(s) × {row} bytes a step",
        lower="`buffer_size` or `seeds`",
    )


def _bytes(space: gym.Space) -> int:
    """Of one element as a buffer holds it: what has 8 bytes is kept in 4."""
    size = int(np.prod(space.shape or (), dtype=np.int64))
    return size * min(np.dtype(space.dtype).itemsize, 4)
