"""Where a run keeps what it has done: rows, checkpoints and the best policy."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ..training.loop import TrainState
from . import checkpoint
from .folder import RunFolder
from .metrics import MetricsWriter, read_rows


# Saving may take this share of a run's time.
SAVING_SHARE = 0.05


# What a save is taken to cost before the first one: bytes a second, and seconds at the least.
SAVING_SPEED, SAVING_LEAST = 200e6, 0.02


class Place(NamedTuple):
    """Where a run is, counted over all its phases."""

    iteration: int
    progress: dict[str, np.ndarray]  # of each seed, by the tag of its unit


def _kept(at: Place) -> dict[str, Any]:
    """What a checkpoint says of its place; `steps` is the progress in all units."""
    by_tag = {tag: progress.tolist() for tag, progress in at.progress.items()}
    return {"progress": by_tag, "steps": np.sum([*at.progress.values()], axis=0).tolist()}


class RunWriter:
    """Writes rows as they come, and checkpoints as often as their cost allows.

    **Arguments:** `larger_is_better`: which of two evaluations is the best.
    """

    def __init__(
        self, folder: RunFolder, seeds: range, *, larger_is_better: bool, tensorboard: bool
    ):
        self._folder, self._seeds, self._larger_is_better = folder, seeds, larger_is_better
        self._rows = MetricsWriter(folder.metrics)
        self._board = None
        if tensorboard:
            from .tensorboard import TensorBoardWriter

            self._board = TensorBoardWriter(
                folder.tensorboard, earlier_rows=read_rows(folder.metrics)
            )
        self._began = self._saved_at = time.monotonic()
        self._cost: float | None = None

    def write(self, at: Place, taken: int, figures: dict[str, np.ndarray]) -> None:
        """One row a seed; figures without data are left out.

        **Arguments:** `taken`: the progress of all seeds since this process began.
        """
        seconds = time.monotonic() - self._began
        rate = taken / max(seconds, 1e-9)
        rows = [
            {"seed": seed, "iteration": at.iteration}
            | {tag: int(progress[i]) for tag, progress in at.progress.items()}
            | {"time/time_elapsed": seconds, "time/fps": rate}
            | {name: float(values[i]) for name, values in figures.items()}
            for i, seed in enumerate(self._seeds)
        ]
        self._rows.write(rows)
        if self._board is not None:
            self._board.write(rows)

    def save_if_due(self, state: TrainState, at: Place, info: dict[str, Any]) -> None:
        """Save unless saving would take more than its share of the time."""
        if self._cost is None:
            size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
            self._cost = max(SAVING_LEAST, size / SAVING_SPEED)
        if time.monotonic() - self._saved_at >= self._cost / SAVING_SHARE:
            self.save(state, at, info)

    def save(self, state: TrainState, at: Place, info: dict[str, Any]) -> None:
        """Save everything, and the policy apart, where it can be read without an environment."""
        began = time.monotonic()
        self._rows.sync()
        info = info | _kept(at)
        save = lambda folder, tree: checkpoint.save(folder, tree, step=at.iteration, info=info)
        save(policy_folder(self._folder), state.learner)
        save(self._folder.checkpoints, state)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def save_best(self, state: TrainState, at: Place, figure: float) -> None:
        """Keep what was learned if its evaluation is the best so far."""
        before = checkpoint.latest(self._folder.best)
        sign = 1.0 if self._larger_is_better else -1.0
        if before is not None and sign * checkpoint.read_info(before)["figure"] >= sign * figure:
            return
        info = {"figure": figure} | _kept(at)
        checkpoint.save(self._folder.best, state.learner, step=at.iteration, info=info, keep=1)

    def last_saved(self) -> str:
        """Say what there is to go on from."""
        path = checkpoint.latest(self._folder.checkpoints)
        if path is None:
            return "No checkpoint had been saved yet."
        return f"The last good checkpoint is kept: {path}"

    def close(self) -> None:
        """Flush everything."""
        self._rows.close()
        if self._board is not None:
            self._board.close()


def policy_folder(folder: RunFolder) -> Path:
    """Checkpoints of the algorithm's state alone."""
    return folder.path / "policy"
