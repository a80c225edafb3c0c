"""Metric rows as TensorBoard event files, one folder a seed."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..types import UNITS
from .metrics import plain_row, progress_of


_NOT_DRAWN = ("seed", "iteration", *(unit.tag for unit in UNITS))


class TensorBoardWriter:
    """Writes rows to `folder/seed_N/`, drawn over their progress.

    The event files mirror `metrics.jsonl`: those already in `folder` are removed, and
    `earlier_rows`, what a resumed run keeps, are written first; so no point is there twice.
    Raises `ImportError` without tensorboardX.
    """

    def __init__(self, folder: Path, *, earlier_rows: Iterable[Mapping[str, Any]] = ()) -> None:
        require_tensorboard()
        self._folder = folder
        self._writers: dict[int, Any] = {}
        for stale in folder.glob("seed_*/events.out.tfevents.*"):
            stale.unlink()
        self.write(earlier_rows)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add `rows`, as `MetricsWriter.write` takes them; raises the same `ValueError`."""
        for row in map(plain_row, rows):
            writer = self._of_seed(int(row["seed"]))
            for tag, value in row.items():
                if tag not in _NOT_DRAWN:
                    writer.add_scalar(tag, value, int(progress_of(row)))

    def close(self) -> None:
        """Bring everything to the files and close them."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def __enter__(self) -> "TensorBoardWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _of_seed(self, seed: int) -> Any:
        from tensorboardX import SummaryWriter

        if seed not in self._writers:
            self._writers[seed] = SummaryWriter(str(self._folder / f"seed_{seed}"))
        return self._writers[seed]


def require_tensorboard() -> None:
    """Raise `ImportError` unless tensorboardX is installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'TensorBoard files need tensorboardX: pip install "rewardtogo[tensorboard]"'
        ) from error
