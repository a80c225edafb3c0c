"""Where a run keeps what it has done: rows, checkpoints and the best policy."""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..training.train import Report
from . import checkpoint
from .folder import RunFolder
from .metrics import MetricsWriter, read_rows


# Saving may take this share of a run's time.
SAVING_SHARE = 0.05


# What a save is taken to cost before the first one: bytes a second, and seconds at the least.
SAVING_SPEED, SAVING_LEAST = 200e6, 0.02


class RunWriter:
    """Writes rows as they come, and checkpoints as often as their cost allows.

    **Arguments:** `steps_before`: what each seed had done when this process began.
    """

    def __init__(
        self, folder: RunFolder, seeds: range, steps_before: np.ndarray, *, tensorboard: bool
    ):
        self._folder, self._seeds, self._steps_before = folder, seeds, steps_before
        self._rows = MetricsWriter(folder.metrics)
        self._board = None
        if tensorboard:
            from .tensorboard import TensorBoardWriter

            self._board = TensorBoardWriter(
                folder.tensorboard, earlier_rows=read_rows(folder.metrics)
            )
        self._began = self._saved_at = time.monotonic()
        self._cost: float | None = None

    def write(self, report: Report, extra: dict[str, np.ndarray]) -> None:
        """One row a seed; figures without data are left out."""
        seconds = time.monotonic() - self._began
        rate = float(np.sum(report.steps - self._steps_before)) / max(seconds, 1e-9)
        rows = [
            {
                "seed": seed,
                "iteration": report.iteration,
                "time/total_timesteps": int(report.steps[i]),
                "time/time_elapsed": seconds,
                "time/fps": rate,
            }
            | {name: float(values[i]) for name, values in (report.metrics | extra).items()}
            for i, seed in enumerate(self._seeds)
        ]
        self._rows.write(rows)
        if self._board is not None:
            self._board.write(rows)

    def save_if_due(self, report: Report, info: dict[str, Any]) -> None:
        """Save unless saving would take more than its share of the time."""
        if self._cost is None:
            size = sum(leaf.nbytes for leaf in jax.tree.leaves(report.state))
            self._cost = max(SAVING_LEAST, size / SAVING_SPEED)
        if time.monotonic() - self._saved_at >= self._cost / SAVING_SHARE:
            self.save(report, info)

    def save(self, report: Report, info: dict[str, Any]) -> None:
        """Save everything, and the policy apart, where it can be read without an environment."""
        began = time.monotonic()
        self._rows.sync()
        info = info | {"steps": report.steps.tolist()}
        save = lambda folder, tree: checkpoint.save(folder, tree, step=report.iteration, info=info)
        save(policy_folder(self._folder), report.state.algorithm)
        save(self._folder.checkpoints, report.state)
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - began

    def save_best(self, report: Report, figure: float) -> None:
        """Keep this policy if its evaluation is the best so far."""
        before = checkpoint.latest(self._folder.best)
        if before is not None and checkpoint.read_info(before)["mean_reward"] >= figure:
            return
        info = {"mean_reward": figure, "steps": report.steps.tolist()}
        state = report.state.algorithm
        checkpoint.save(self._folder.best, state, step=report.iteration, info=info, keep=1)

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
