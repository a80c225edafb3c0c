"""Where a run keeps what it has done: rows, checkpoints, the best policy; and finds it again."""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from . import checkpoint
from .loop import TrainState
from .runs import (
    FORMAT,
    MetricsWriter,
    RunFolder,
    compare_settings,
    read_json,
    read_rows,
    truncate_after,
    versions,
    write_json,
)
from .settings import Settings, differences, settings_from_json, to_json
from .train import Report


# Saving may take this share of a run's time.
SAVING_SHARE = 0.05


class Keeper:
    """Writes rows as they come, and checkpoints as often as their cost allows."""

    def __init__(self, folder: RunFolder, seeds: range, *, tensorboard: bool):
        self._folder, self._seeds = folder, seeds
        self._rows = MetricsWriter(folder.metrics)
        self._board = None
        if tensorboard:
            from .tensorboard import TensorBoardWriter

            self._board = TensorBoardWriter(
                folder.tensorboard, earlier_rows=read_rows(folder.metrics)
            )
        self._saved_at, self._cost = time.monotonic(), 0.0

    def write(self, report: Report, extra: dict[str, np.ndarray], seconds: float) -> None:
        """One row a seed; figures without data are left out."""
        rate = float(np.sum(report.steps)) / max(seconds, 1e-9)
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

    def close(self) -> None:
        """Flush everything."""
        self._rows.close()
        if self._board is not None:
            self._board.close()


def policy_folder(folder: RunFolder) -> Path:
    """Checkpoints of the algorithm's state alone."""
    return folder.path / "policy"


def open_or_create(
    settings: Settings, run_dir: Path | None, *, resume: bool
) -> tuple[RunFolder, list[str]]:
    """The folder to write in, and warnings: a new one, or one whose run goes on.

    **Raises:** `ValueError` for an occupied folder, or one that holds another run.
    """
    wanted = settings_data(settings)
    if resume:
        if run_dir is None:
            raise ValueError("`resume` needs `run_dir`, the folder of the run to go on with.")
        if (run_dir / "settings.json").exists():
            folder = RunFolder.open_(run_dir)
            return folder, _resumed(folder, wanted)
    if run_dir is None:
        folder = RunFolder.create_named(settings.algorithm, _plain(settings.environment))
    else:
        folder = RunFolder.create(run_dir)
    write_json(folder.settings, wanted)
    return folder, [f"{run_dir} holds no run: starting over."] if resume else []


def settings_data(settings: Settings) -> dict[str, Any]:
    """The content of `settings.json`."""
    return {"format": FORMAT, "versions": versions()} | to_json(settings)


def _resumed(folder: RunFolder, wanted: dict[str, Any]) -> list[str]:
    saved = read_json(folder.settings)
    warnings = compare_settings(saved, wanted, folder=folder.path)
    longer = lambda data: {**data["recipe"], "total_steps": None}
    changed = differences(longer(saved), longer(wanted)) + differences(saved["run"], wanted["run"])
    if changed:
        raise ValueError(
            f"a resumed run keeps its settings, but for `total_steps`: {'; '.join(changed)}."
        )
    if saved["recipe"]["total_steps"] != wanted["recipe"]["total_steps"]:
        write_json(folder.settings, wanted)
    return warnings


def _plain(environment: str) -> str:
    return environment.rpartition(":")[2]


def read_settings(path: Path) -> Settings:
    """The settings of the run in a folder; raises `ValueError` if there is none or it is newer."""
    data = read_json(RunFolder.open_(path).settings)
    if data.get("format", 0) > FORMAT:
        raise ValueError(
            f"{path} has format {data['format']}; this version of rewardtogo reads up to {FORMAT}."
        )
    return settings_from_json(data)


def restore_latest(folder: RunFolder, template: Any) -> tuple[int, TrainState] | None:
    """The newest checkpoint, every array verified, or None; later rows are dropped."""
    path = checkpoint.latest(folder.checkpoints)
    if path is None:
        truncate_after(folder.metrics, -1)
        return None
    state = checkpoint.restore(path, template())
    iteration = checkpoint.read_step(path)
    truncate_after(folder.metrics, iteration)
    return iteration, state


def load_parameters(path: Path, template: PyTree, num_seeds: int) -> PyTree:
    """The algorithm's state that another run ended with, for its first `num_seeds` seeds.

    **Raises:** `ValueError` if the run has none saved, fewer seeds, or other shapes.
    """
    folder = RunFolder.open_(path)
    latest = checkpoint.latest(policy_folder(folder))
    if latest is None:
        raise ValueError(f"{path} holds no saved policy yet.")
    saved = read_settings(path).run.seeds or 1
    if saved < num_seeds:
        raise ValueError(f"{path} holds {saved} seed(s), fewer than the {num_seeds} to start.")
    widen = lambda x: jax.ShapeDtypeStruct((saved, *x.shape[1:]), x.dtype)
    state = checkpoint.restore(latest, jax.tree.map(widen, template))
    return jax.tree.map(lambda x: x[:num_seeds], state)


def require_memory(template: TrainState) -> None:
    """Raise `ValueError` if the replay buffers would take more than half of the free memory."""
    leaves = jax.tree.leaves(template.memory)
    needed = sum(int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize for x in leaves)
    free = free_memory()
    if free is not None and needed > free / 2:
        raise ValueError(
            f"the replay buffers of all seeds need {needed / 2**30:.1f} GiB, more than half of the "
            f"{free / 2**30:.1f} GiB free: lower `buffer_size` or `seeds`."
        )


def free_memory() -> int | None:
    """Bytes that the default device has left; None where that cannot be told."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if "bytes_limit" in stats else None
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
