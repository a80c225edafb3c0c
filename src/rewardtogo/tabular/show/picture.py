"""Values and policies, drawn: a heat map with arrows for a grid, a curve for other problems."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ...figures import new_figure, save_figure
from ..problems.problem import Grid, Problem


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Beyond these numbers of rows or columns arrows, and figures, would be too small to see.
_ARROWS, _FIGURES = 40, 12


def draw(
    problem: Problem,
    values: Float[np.ndarray, " states"],
    best: Bool[np.ndarray, "states actions"],
    path: Path,
    *,
    title: str,
) -> Path:
    """Draw into the picture at `path`, its format by the suffix.

    **Arguments:** `best`: the actions to draw arrows for, several where they tie.
    **Raises:** `ValueError` for an unknown suffix; `ImportError` without matplotlib.
    """
    drawing = _grid(problem, values, best) if problem.grid else _curve(problem, values)
    drawing.axes[0].set_title(title, loc="left", fontweight="bold", fontsize="medium")
    return save_figure(drawing, path)


def _grid(
    problem: Problem, values: Float[np.ndarray, " states"], best: Bool[np.ndarray, "states actions"]
) -> "Figure":
    grid = problem.grid
    assert grid is not None
    rows, columns = grid.shape
    scale = 0.75 if max(rows, columns) <= _FIGURES else 8 / max(rows, columns)
    drawing = new_figure((max(3.2, columns * scale) + 1.2, max(1.6, rows * scale) + 0.8))
    axes = drawing.add_subplot()
    shown = grid.cell >= 0
    # Where several states share a cell it shows the best of them.
    board = np.full(rows * columns, -np.inf)
    np.maximum.at(board, grid.cell[shown], values[shown])
    board = np.where(np.isfinite(board), board, np.nan).reshape(rows, columns)
    image = axes.imshow(board, cmap="viridis", interpolation="nearest")
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    drawing.colorbar(image, ax=axes, shrink=0.8, label="optimal value")
    if max(rows, columns) <= _ARROWS:
        _arrows(axes, grid, best & ~np.asarray(problem.mdp.terminal)[:, None], board)
    if max(rows, columns) <= _FIGURES:
        _figures(axes, board)
    return drawing


def _arrows(
    axes: "Axes",
    grid: Grid,
    best: Bool[np.ndarray, "states actions"],
    board: Float[np.ndarray, "rows columns"],
) -> None:
    # Arrows leave the lower part of a cell to its figure, where there are figures.
    lift = 0.14 if max(grid.shape) <= _FIGURES else 0.0
    for state, action in np.argwhere(best & (grid.cell >= 0)[:, None]).tolist():
        row, column = divmod(int(grid.cell[state]), grid.shape[1])
        down, right = grid.moves[action]
        if down == right == 0:
            continue
        axes.annotate(
            "",
            xy=(column + 0.42 * np.sign(right), row - lift + (0.42 - lift) * np.sign(down)),
            xytext=(column, row - lift),
            arrowprops={"arrowstyle": "->", "color": _ink(board, row, column), "linewidth": 1},
        )


def _figures(axes: "Axes", board: Float[np.ndarray, "rows columns"]) -> None:
    size = np.nanmax(np.abs(board), initial=0)
    digits = 3 if size < 1 else 1 if size < 100 else 0
    for row, column in np.argwhere(np.isfinite(board)).tolist():
        axes.text(
            column,
            row + 0.36,
            f"{board[row, column]:.{digits}f}",
            ha="center",
            va="center",
            fontsize=7,
            color=_ink(board, row, column),
        )


def _ink(board: Float[np.ndarray, "rows columns"], row: int, column: int) -> str:
    """What can be read on the colour below."""
    low, high = np.nanmin(board), np.nanmax(board)
    return "black" if board[row, column] > (low + high) / 2 else "white"


def _curve(problem: Problem, values: Float[np.ndarray, " states"]) -> "Figure":
    drawing = new_figure((7.2, 4.0))
    axes = drawing.add_subplot()
    axes.plot(np.arange(values.size), values, marker="o" if values.size <= 60 else None)
    axes.set_xlabel("state")
    axes.set_ylabel("optimal value")
    if problem.states and values.size <= 20:
        axes.set_xticks(range(values.size), problem.states, rotation=45, ha="right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    return drawing
