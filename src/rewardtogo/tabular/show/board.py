"""Values and actions of a problem's states, to be read in a terminal."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from ..mdp import AbstractMDP
from ..problems.problem import Grid, Problem
from ..successors import SuccessorMDP


# Directions are (down, right); what does not move is a dot.
_ARROWS = {(-1, 0): "↑", (1, 0): "↓", (0, -1): "←", (0, 1): "→"}
_WIDEST, _LONGEST, _CHOICES = 16, 24, 5


def text(
    problem: Problem, values: Float[np.ndarray, " states"], best: Bool[np.ndarray, "states actions"]
) -> str:
    """A board of values and arrows for a grid that fits, else a table of the first states."""
    grid = problem.grid
    if grid is not None and max(grid.shape) <= _WIDEST and _is_injective(grid):
        return _board(grid, values, best, np.asarray(problem.mdp.terminal))
    return _table(problem, values, best)


def arrow(grid: Grid, best: Bool[np.ndarray, " actions"]) -> str:
    """The arrows of these actions, one after the other."""
    moves = (np.sign(grid.moves[a]) for a in np.flatnonzero(best))
    return "".join(_ARROWS.get(tuple(move), "·") for move in moves)


def _is_injective(grid: Grid) -> bool:
    drawn = grid.cell[grid.cell >= 0]
    return len(np.unique(drawn)) == drawn.size


def _board(
    grid: Grid,
    values: Float[np.ndarray, " states"],
    best: Bool[np.ndarray, "states actions"],
    terminal: Bool[np.ndarray, " states"],
) -> str:
    numbers = _aligned(values)
    cells = {
        int(cell): (numbers[s], "■" if terminal[s] else arrow(grid, best[s]))
        for s, cell in enumerate(grid.cell)
        if cell >= 0
    }
    rows, columns = grid.shape
    width = max(len(part) for cell in cells.values() for part in cell)
    lines = []
    for row in range(rows):
        here = [cells.get(row * columns + column, ("", "")) for column in range(columns)]
        lines += [
            "  ".join(part.rjust(width) for part in layer) for layer in zip(*here, strict=True)
        ]
    return "\n".join(line.rstrip() for line in lines)


def _table(
    problem: Problem, values: Float[np.ndarray, " states"], best: Bool[np.ndarray, "states actions"]
) -> str:
    shown = min(values.size, _LONGEST)
    numbers = _aligned(values[:shown])
    actions = problem.actions or tuple(str(a) for a in range(problem.mdp.num_actions))
    states = problem.states or tuple(str(s) for s in range(values.size))
    lines = [f"{'state':<16}{'value':>12}  action"]
    for s in range(shown):
        ends = problem.mdp.terminal[s]
        different = np.flatnonzero(best[s] & ~_repeats(problem.mdp, s))
        names = "(terminal)" if ends else _choice([actions[a] for a in different])
        lines.append(f"{states[s]:<16}{numbers[s]:>12}  {names}")
    if shown < values.size:
        lines.append(f"… and {values.size - shown:,} states more; --json holds them all")
    return "\n".join(lines)


def _repeats(mdp: AbstractMDP, state: int) -> Bool[np.ndarray, " actions"]:
    """Actions that do what an earlier one does: a stake of more than there is, say."""
    if not isinstance(mdp, SuccessorMDP):
        return np.zeros(mdp.num_actions, bool)
    rows = [np.asarray(mdp.successor)[:, :, state], np.asarray(mdp.probability)[:, :, state]]
    same = np.concatenate([*rows, np.asarray(mdp.reward)[state][:, None]], axis=1)
    first = np.unique(same, axis=0, return_index=True)[1]
    return ~np.isin(np.arange(mdp.num_actions), first)


def _choice(names: Sequence[str]) -> str:
    more = len(names) - _CHOICES
    return " or ".join(names) if more <= 0 else f"{' or '.join(names[:_CHOICES])} or {more} more"


def _aligned(values: Float[np.ndarray, " states"]) -> list[str]:
    """Six significant digits of the largest."""
    size = np.abs(values).max(initial=0)
    digits = 6 if size < 1 else max(0, 6 - len(str(int(size))))
    return [f"{v + 0.0:.{digits}f}" for v in np.round(values, digits)]
