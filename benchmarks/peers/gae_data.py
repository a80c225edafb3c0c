# pyright: reportMissingImports=false
"""The data of the GAE row: [2048 steps, 64 environments], float32, one step in fifty the last."""

from typing import NamedTuple

import numpy as np


STEPS, ENVS = 2048, 64
DISCOUNT, TRACE_DECAY = 0.99, 0.95


class Rollouts(NamedTuple):
    """Time first; `values` has one row more, the value after the last step."""

    rewards: np.ndarray
    values: np.ndarray
    terminated: np.ndarray


def rollouts() -> Rollouts:
    """The same numbers in every process."""
    generator = np.random.default_rng(0)
    return Rollouts(
        rewards=generator.standard_normal((STEPS, ENVS), dtype=np.float32),
        values=generator.standard_normal((STEPS + 1, ENVS), dtype=np.float32),
        terminated=generator.random((STEPS, ENVS)) < 0.02,
    )


def checksum(advantages: np.ndarray) -> float:
    """The root mean square of time-first advantages: equal, but for rounding, wherever GAE is."""
    if advantages.shape != (STEPS, ENVS):
        raise ValueError(f"advantages have shape {advantages.shape}, expected {(STEPS, ENVS)}")
    return float(np.sqrt(np.mean(np.square(advantages, dtype=np.float64))))
