"""What features see of a state: numbers that say where it lies."""

import numpy as np
from jaxtyping import Float

from ...tabular.problems.problem import Problem


def state_observations(problem: Problem) -> Float[np.ndarray, "states dims"]:
    """(row, column) where the problem lies on a board, the position on a line, else the number.

    A board counts if each state that is not terminal has a cell of its own. The others are given
    the first cell: what is observed there is never used.
    """
    grid, alive = problem.grid, ~np.asarray(problem.mdp.terminal)
    if grid is None or not _a_cell_each(grid.cell[alive]):
        return np.arange(len(alive), dtype=float)[:, None]
    places = np.stack(np.unravel_index(np.maximum(grid.cell, 0), grid.shape), axis=1)
    return places[:, np.array(grid.shape) > 1].astype(float)


def state_range(
    problem: Problem, observations: Float[np.ndarray, "states dims"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high of each dimension, states that are not terminal being cells of width 1."""
    seen = observations[~np.asarray(problem.mdp.terminal)]
    low, high = seen.min(axis=0) - 0.5, seen.max(axis=0) + 0.5
    return tuple(low.tolist()), tuple(high.tolist())


def _a_cell_each(cells: np.ndarray) -> bool:
    return bool(np.all(cells >= 0)) and len(np.unique(cells)) == len(cells) > 1
