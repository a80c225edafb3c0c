"""Where a run keeps what it has done: rows, checkpoints, the best policy; and finds it again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree

from ..files import read_json, write_json
from ..sources.task import AbstractTask, Environment, RecordedTask
from ..spaces import space_from_json, space_to_json
from ..training.compiled import with_seeds
from ..training.loop import TrainState
from ..types import STEPS, Unit
from . import checkpoint
from .folder import RunFolder
from .metrics import truncate_after
from .settings import Settings, differences, settings_from_json, settings_to_json
from .versions import FORMAT, compare_settings, require_format, versions
from .writer import policy_folder


# What may change when a run goes on: how long it is, and how it is watched.
MAY_CHANGE = (
    "env_timeout",
    "env_workers",
    "report_every",
    "eval_every",
    "eval_episodes",
    "stop_at_return",
)


def open_or_create(settings: Settings, run_dir: Path | None, *, resume: bool) -> RunFolder:
    """The folder to write in: a new one, or with `resume` one that may hold a run.

    **Raises:** `ValueError` for a folder that is occupied or cannot be written.
    """
    if resume and run_dir is None:
        raise ValueError("`resume` needs `run_dir`, the folder of the run to go on with.")
    if run_dir is None:
        return RunFolder.create_named(settings.algorithm, _plain(settings.environment_name))
    if resume and (run_dir / "settings.json").exists():
        return RunFolder.open_(run_dir)
    return RunFolder.create(run_dir)


def differences_from_saved(folder: RunFolder, wanted: dict[str, Any]) -> list[str]:
    """Warnings of what has changed around a run that is to go on; none for a new one.

    `wanted` is what `settings_data` makes of the run that would go on.

    **Raises:** `ValueError` if the folder holds a run of other settings, or of another format.
    """
    if not folder.settings.exists():
        return []
    saved = read_json(folder.settings)
    warnings = compare_settings(saved, wanted, folder=folder.path)
    fixed = lambda data: {
        "recipe": data["recipe"] | {"total_steps": None},
        "run": {name: value for name, value in data["run"].items() if name not in MAY_CHANGE},
    }
    # What the folder does not name, since it is older, has its default.
    whole = settings_to_json(settings_from_json(saved))
    changed = differences(fixed(whole), fixed(wanted))
    if changed:
        raise ValueError(
            f"the run in {folder.path} goes on with its own settings, but {'; '.join(changed)}. "
            f"What may change: `total_steps`, {', '.join(f'`{name}`' for name in MAY_CHANGE)}."
        )
    return warnings


def write_settings(folder: RunFolder, data: dict[str, Any], from_run: Path | None) -> None:
    """Write `settings.json`; what a run began with (versions, other parameters) stays."""
    began_with = {"from_run": None if from_run is None else str(from_run)}
    if folder.settings.exists():
        saved = read_json(folder.settings)
        began_with = {name: saved.get(name) for name in ("versions", "from_run")}
    write_json(folder.settings, data | began_with)


def settings_data(
    settings: Settings,
    *,
    task: AbstractTask | None = None,
    unit: Unit = STEPS,
    data: str | None = None,
) -> dict[str, Any]:
    """The content of `settings.json`.

    `task` has the spaces, `unit` is what progress is counted in, `data` the digest of what all
    seeds share. What a run has not is not there.
    """
    spaces = {} if task is None else {"spaces": _spaces(task)}
    shared = {} if data is None else {"data": data}
    begun = {"format": FORMAT, "versions": versions(), "unit": unit.name}
    return begun | settings_to_json(settings) | spaces | shared


def _spaces(task: AbstractTask) -> dict[str, Any]:
    return {
        "observation": space_to_json(task.observation_space),
        "action": space_to_json(task.action_space),
        "raw_action": space_to_json(task.raw_action_space),
        "max_steps": task.max_steps,
    }


def recorded_task(path: Path, settings: Settings) -> RecordedTask | None:
    """The task as the folder remembers it; None for a run without an environment."""
    spaces = read_json(RunFolder.open_(path).settings).get("spaces")
    if spaces is None:
        return None
    return RecordedTask(
        settings.environment_name,
        settings.run.seeds or 1,
        space_from_json(spaces["observation"]),
        space_from_json(spaces["action"]),
        space_from_json(spaces["raw_action"]),
        spaces["max_steps"],
    )


def is_finished(folder: RunFolder, total_steps: int) -> bool:
    """Whether the run ended by itself with at least so many steps asked for."""
    path = checkpoint.latest(folder.checkpoints)
    if path is None or not folder.evaluation.exists():
        return False
    info = _with_advice(lambda: checkpoint.read_info(path), path)
    return info["finished"] and info["total_steps"] >= total_steps


def _plain(environment: str) -> str:
    return environment.rpartition(":")[2]


def read_settings(path: Path, environment: Environment | None = None) -> Settings:
    """The settings of the run in a folder; `environment` where no name leads to it.

    **Raises:** `ValueError` if there is no run, or one of another format.
    """
    data = read_json(RunFolder.open_(path).settings)
    require_format(data, path)
    try:
        return settings_from_json(data, environment)
    except KeyError as error:
        raise ValueError(f"{path / 'settings.json'} lacks {error}.") from error


class Saved(NamedTuple):
    """What a checkpoint holds."""

    iteration: int
    state: TrainState
    finished: bool  # the run had ended by itself
    total_steps: int  # that it was to take
    phase: int  # of several that the run goes through
    row: int  # iterations over all phases
    progress: dict[str, list[int]]  # of each seed, by the tag of its unit


def restore_latest(
    folder: RunFolder, templates: Sequence[Callable[[], TrainState]]
) -> Saved | None:
    """The newest checkpoint, every array verified, or None; rows and figures after it go.

    `templates` has the shapes of each phase's state.
    """
    path = checkpoint.latest(folder.checkpoints)
    if path is None:
        truncate_after(folder.metrics, -1)
        return None
    info = _with_advice(lambda: checkpoint.read_info(path), path)
    template = templates[info["phase"]]
    state = _with_advice(lambda: checkpoint.restore(path, template()), path)
    row = checkpoint.read_step(path)
    truncate_after(folder.metrics, row)
    folder.evaluation.unlink(missing_ok=True)
    names = ("finished", "total_steps", "phase")
    rest = {name: info[name] for name in names}
    return Saved(info["iteration"], state, row=row, progress=info["progress"], **rest)


def _with_advice[T](read: Callable[[], T], path: Path) -> T:
    """Say how to go on where the checkpoint at `path` is damaged."""
    try:
        return read()
    except checkpoint.CheckpointError as error:
        error.add_note(f"To go on from the one before, remove {path} and resume again.")
        raise


def load_parameters(path: Path, settings: Settings, shape: PyTree) -> PyTree:
    """The algorithm's state that another run ended with, for its first seeds.

    **Arguments:** `settings`: of the run to begin. `shape`: of one seed's arrays in it.
    **Raises:** `ValueError` if the other run has none saved, fewer seeds, or other shapes.
    """
    other, num_seeds = read_settings(path), settings.run.seeds or 1
    saved_seeds = other.run.seeds or 1
    if other.algorithm != settings.algorithm:
        raise ValueError(
            f"`from` {path} holds a run of {other.algorithm!r}, not of {settings.algorithm!r}."
        )
    if saved_seeds < num_seeds:
        raise ValueError(
            f"`from` {path} holds {saved_seeds} seed(s), fewer than the {num_seeds} to start: "
            f"set `seeds` to at most {saved_seeds}."
        )
    latest = checkpoint.latest(policy_folder(RunFolder.open_(path)))
    if latest is None:
        raise ValueError(f"`from` {path} holds no saved policy yet.")
    try:
        state = checkpoint.restore(latest, with_seeds(shape, saved_seeds))
    except checkpoint.CheckpointError as error:
        raise ValueError(
            f"`from` {path} does not fit: its networks, its environment's spaces or its "
            f"normalisation are others, or a file is damaged. {error}"
        ) from error
    return jax.tree.map(lambda x: x[:num_seeds], state)
