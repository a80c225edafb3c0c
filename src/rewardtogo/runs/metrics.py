"""The rows of a run: `metrics.jsonl`, a line for each report and seed."""

import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..files import write_bytes
from ..types import STEPS, UNITS


_EVERY_ROW = ("seed", "iteration")
_PROGRESS = tuple(unit.tag for unit in UNITS)


class MetricsWriter:
    """Appends rows to a file of JSON lines, each call complete on return.

    A row has `seed`, `iteration` and the progress in at least one unit, such as
    `time/total_timesteps`; its other entries are numbers under Stable-Baselines3's tag names. What
    is NaN, infinite or None is left out.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115
        _drop_half_line(self._file)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append `rows`; raises `ValueError` for one that is incomplete or holds no numbers."""
        lines = [json.dumps(plain_row(row), allow_nan=False) + "\n" for row in rows]
        self._file.write("".join(lines).encode())
        self._file.flush()

    def sync(self) -> None:
        """Wait until the rows are on the disk: before the checkpoint that counts on them."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def plain_row(row: Mapping[str, Any]) -> dict[str, int | float]:
    """A metric row in Python's own numbers, without what is NaN, infinite or None."""
    numbers = {tag: _number(tag, value) for tag, value in row.items() if value is not None}
    finite = {tag: number for tag, number in numbers.items() if math.isfinite(number)}
    absent = [tag for tag in _EVERY_ROW if tag not in finite]
    if not any(tag in finite for tag in _PROGRESS):
        absent.append(STEPS.tag)
    if absent:
        raise ValueError(f"a metric row needs a finite {', '.join(absent)}, got {dict(row)}")
    return finite


def progress_of(row: Mapping[str, Any]) -> float:
    """How far a row's seed had come: environment steps, and updates or tokens beside them."""
    return float(sum(row[tag] for tag in _PROGRESS if tag in row))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Every whole row of a metrics file; none if there is no file.

    **Raises:** `ValueError` naming the line that is not one row.
    """
    return [row for _, row in _whole_rows(path)]


def truncate_after(path: Path, iteration: int) -> None:
    """Drop the rows beyond `iteration` and a half-written last line, at one stroke.

    The rows that stay keep their bytes. Called with the restored checkpoint's iteration, before a
    `MetricsWriter` is opened, so that no row is there twice when the run has gone on.
    """
    if path.exists():
        kept = [line for line, row in _whole_rows(path) if row["iteration"] <= iteration]
        write_bytes(path, b"".join(kept))


def _number(tag: str, value: Any) -> int | float:
    array = np.asarray(value)
    whole = array.dtype == bool or jnp.issubdtype(array.dtype, jnp.integer)
    if array.size != 1 or not (whole or jnp.issubdtype(array.dtype, jnp.floating)):
        raise ValueError(f"metric {tag!r} must be one real number, got {value!r}")
    number = array.reshape(()).item()
    return int(number) if whole else float(number)


def _drop_half_line(file: io.BufferedRandom) -> None:
    file.seek(0)
    content = file.read()
    if content and not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)


def _whole_rows(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    # A line without its end was cut off by a kill.
    whole = [line for line in lines if line.endswith(b"\n")]
    return [(line, _parsed(path, number, line)) for number, line in enumerate(whole, start=1)]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    has = lambda tags, enough: isinstance(row, dict) and enough(tag in row for tag in tags)
    if not (has(_EVERY_ROW, all) and has(_PROGRESS, any)):
        needed = (*_EVERY_ROW, STEPS.tag)
        raise ValueError(f"{path}, line {number} is not a metric row: it needs {needed}")
    return row
