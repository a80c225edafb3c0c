"""Empty pictures, and how they are kept; matplotlib is imported only when one is drawn."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .files import write_bytes


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(size: tuple[float, float]) -> "Figure":
    """An empty picture, width and height in inches.

    **Raises:** `ImportError` that says what to install, without matplotlib.
    """
    _require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def save_figure(drawing: "Figure", path: Path) -> Path:
    """Write the picture, its format by the suffix of `path`.

    **Raises:** `ValueError` for an unknown suffix.
    """
    require_writable(path)
    content = io.BytesIO()
    drawing.savefig(content, format=path.suffix.removeprefix("."), dpi=150)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue())
    return path


def require_writable(path: Path) -> None:
    """Refuse at once a picture that could not be written when it is done.

    **Raises:** `ValueError` unless the suffix names a format that can be written, and the path a
    place that can be written to; `ImportError` without matplotlib.
    """
    _require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ValueError(f"cannot draw {path}: the suffix must be one of {', '.join(known)}")
    if path.is_dir():
        raise ValueError(f"cannot draw {path}: it is a folder")
    # Folders that are missing are made later. `Path.exists` raises where it may not look.
    above = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if not above.is_dir():
        raise ValueError(f"cannot draw {path}: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"cannot draw {path}: {above} may not be written to")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('a picture needs matplotlib: pip install "rewardtogo[plot]"') from error
