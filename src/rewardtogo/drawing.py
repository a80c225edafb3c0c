"""Empty pictures, and how they are kept; matplotlib is imported only when one is drawn."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from rewardtogo.runs import write_bytes


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
    require_suffix(path)
    content = io.BytesIO()
    drawing.savefig(content, format=path.suffix.removeprefix("."), dpi=150)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue())
    return path


def require_suffix(path: Path) -> None:
    """Refuse at once a picture that could not be written when it is done.

    **Raises:** `ValueError` unless the suffix names a format that can be written; `ImportError`
    without matplotlib.
    """
    _require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ValueError(f"cannot draw {path}: the suffix must be one of {', '.join(known)}")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('a picture needs matplotlib: pip install "rewardtogo[plot]"') from error
