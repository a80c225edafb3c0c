"""The run folder: where everything is, who may write there, and files that are always whole."""

import datetime
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..files import UNFINISHED


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run; `create` a new one or `open_` one that holds settings."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "RunFolder":
        """Make the folder; raises `ValueError` if it cannot be written or holds anything."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f"{UNFINISHED}{os.getpid()}"
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
        for leftover in folder.glob(f"{UNFINISHED}*"):
            leftover.unlink()  # of a process that was killed while it wrote

    def release(self) -> None:
        """Let others in."""
        self._file.close()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _is_leftover(name: str) -> bool:
    return name == "lock" or name.startswith(UNFINISHED)
