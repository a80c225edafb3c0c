"""The run folder: where everything is, who may write there, and files that are always whole."""

import datetime
import fcntl
import importlib.metadata
import io
import json
import math
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rewardtogo._version import __version__
from rewardtogo.checkpoint import sync


FORMAT = 1
_UNFINISHED = ".unfinished-"
_EVERY_ROW = ("seed", "iteration", "time/total_timesteps")


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run; `create` a new one or `open_` one that holds settings."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make the folder; raises `ValueError` if it cannot be written or holds anything."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f"{_UNFINISHED}{os.getpid()}"
            probe.touch()
            probe.unlink()
            occupants = sorted(p.name for p in path.iterdir() if not _is_leftover(p.name))
        except OSError as error:
            raise ValueError(f"run folder {path} cannot be written: {error.strerror}") from error
        if "settings.json" in occupants:
            raise ValueError(
                f"run folder {path} already holds a run: resume it, or name another folder"
            )
        if occupants:
            raise ValueError(
                f"run folder {path} is not empty (it holds {', '.join(occupants[:3])}): "
                "name an empty or a new folder"
            )
        return cls(path)

    @classmethod
    def create_named(
        cls,
        algorithm: str,
        environment: str,
        *,
        root: Path = Path("runs"),
        now: datetime.datetime | None = None,
    ) -> "RunFolder":
        """Make `root/{algorithm}-{environment}-{YYYYmmdd-HHMMSS}`, with a number if it is taken."""
        moment = now or datetime.datetime.now()
        plain = re.sub(r"[^\w.-]+", "-", f"{algorithm}-{environment}")
        name = f"{plain}-{moment:%Y%m%d-%H%M%S}"
        count = 1
        while True:
            path = root / (name if count == 1 else f"{name}-{count}")
            try:
                path.mkdir(parents=True)  # atomic: two runs begun in one second get two folders
            except FileExistsError:
                count += 1
                continue
            except OSError as error:
                raise ValueError(f"run folder {path} cannot be made: {error.strerror}") from error
            return cls(path)

    @classmethod
    def open_(cls, path: Path) -> "RunFolder":
        """Open a folder that holds a run; raises `ValueError` if it does not."""
        if not path.is_dir():
            raise ValueError(f"there is no run folder at {path}")
        if not (path / "settings.json").is_file():
            raise ValueError(f"{path} is not a run folder: it holds no settings.json")
        return cls(path)

    @property
    def settings(self) -> Path:
        """All that is needed to repeat the run."""
        return self.path / "settings.json"

    @property
    def metrics(self) -> Path:
        """One JSON line a report and seed."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """What a killed run goes on from."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the best evaluation so far."""
        return self.path / "best"

    @property
    def evaluation(self) -> Path:
        """The final evaluation."""
        return self.path / "evaluation.json"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.path / "curve.png"

    @property
    def tensorboard(self) -> Path:
        """Event files, a folder a seed."""
        return self.path / "tensorboard"

    def lock(self) -> "RunLock":
        """Take the folder for this process; raises `ValueError` naming who has it."""
        return RunLock(self.path)


class RunLock:
    """The right to write in a run folder, held until `release` or the end of the process.

    The operating system lets go of it however the process dies. Keep the object: the lock is
    released when it is collected.
    """

    def __init__(self, folder: Path) -> None:
        try:
            # For appending: a refused process must not wipe out the number of the one inside.
            self._file = open(folder / "lock", "a+")  # noqa: SIM115
        except OSError as error:
            raise ValueError(f"run folder {folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise ValueError(
                f"run folder {folder} is in use by process {holder}: wait for it to end, "
                "or name another folder"
            ) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        for leftover in folder.glob(f"{_UNFINISHED}*"):
            leftover.unlink()  # of a process that was killed while it wrote

    def release(self) -> None:
        """Let others in."""
        self._file.close()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


class MetricsWriter:
    """Appends rows to a file of JSON lines, each call complete on return.

    A row has `seed`, `iteration` and `time/total_timesteps`; its other entries are numbers under
    Stable-Baselines3's tag names. What is NaN, infinite or None is left out.
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
    if absent:
        raise ValueError(f"a metric row needs a finite {', '.join(absent)}, got {dict(row)}")
    return finite


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


def write_json(path: Path, data: Any) -> None:
    """Write `data` as JSON so that a reader sees the old file or the new one, never a part.

    NumPy and JAX arrays become numbers and lists, dataclasses dictionaries, paths strings.
    **Raises:** `ValueError` naming the entry that is NaN, infinite or unknown to JSON.
    """
    text = json.dumps(plain_data(data, where=path.name), indent=2, allow_nan=False)
    write_bytes(path, f"{text}\n".encode())


def read_json(path: Path) -> Any:
    """Read a JSON file; raises `ValueError` naming the file if it is missing or malformed."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file at `path` with `content`, on the disk before its name is."""
    unfinished = path.with_name(f"{_UNFINISHED}{path.name}-{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def plain_data(data: Any, *, where: str = "data") -> Any:
    """`data` in what JSON knows; raises `ValueError` naming what does not fit."""
    if data is None or isinstance(data, bool | int | str):
        return data
    if isinstance(data, float):
        if not math.isfinite(data):
            raise ValueError(f"{where} is {data}, and only finite numbers are written")
        return data
    if isinstance(data, np.ndarray | np.generic | jax.Array):
        return plain_data(np.asarray(data).tolist(), where=where)
    if isinstance(data, Path):
        return str(data)
    if is_dataclass(data) and not isinstance(data, type):
        data = {field.name: getattr(data, field.name) for field in fields(data)}
    if isinstance(data, Mapping):
        return {str(key): plain_data(item, where=f"{where}/{key}") for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [plain_data(item, where=f"{where}/{i}") for i, item in enumerate(data)]
    raise ValueError(f"{where} is a {type(data).__name__}, which cannot be written as JSON")


def versions() -> dict[str, Any]:
    """What decides, beside the settings, which bits a run computes."""
    packages = ("jax", "jaxlib", "numpy", "equinox", "optax", "gymnasium")
    devices = jax.devices()
    return {
        "rewardtogo": __version__,
        **{name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "platform": jax.default_backend(),
        "device_kind": devices[0].device_kind,
        "device_count": len(devices),
        "jax_enable_x64": bool(jax.config.read("jax_enable_x64")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def compare_settings(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], *, folder: Path
) -> list[str]:
    """Hold a folder's settings against those of the run that would go on in it.

    Both have `format`, `algorithm`, `environment` and `versions`.
    **Returns:** a warning for every version fact that differs: the same bits are then not promised.
    **Raises:** `ValueError` for another algorithm, environment or format, naming both.
    """
    if saved.get("format", 0) > wanted["format"]:
        raise ValueError(
            f"run folder {folder} has format {saved['format']}; this version of rewardtogo knows "
            f"up to {wanted['format']}: it was written by a newer one"
        )
    for key in ("format", "algorithm", "environment"):
        if saved.get(key) != wanted[key]:
            raise ValueError(
                f"run folder {folder} holds a run of {key} {saved.get(key)!r}, not {wanted[key]!r}"
            )
    before, now = saved.get("versions", {}), wanted["versions"]
    return [
        f"{fact} was {before.get(fact)!r} and is {now.get(fact)!r}: "
        "the run will not end with the same bits"
        for fact in dict.fromkeys([*before, *now])
        if before.get(fact) != now.get(fact)
    ]


def _is_leftover(name: str) -> bool:
    return name == "lock" or name.startswith(_UNFINISHED)


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
    if not isinstance(row, dict) or any(tag not in row for tag in _EVERY_ROW):
        raise ValueError(f"{path}, line {number} is not a metric row: it needs {_EVERY_ROW}")
    return row


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or "unknown")
