"""Sutton and Barto's mazes for planning with a learned model, two of which change on the way."""

import numpy as np

from ..successors import SuccessorMDP, successor_mdp
from .boards import ACTIONS, board, moved
from .problem import Change, Grid, Problem


# "#": wall, "S": start, "G": goal.
_DYNA = (
    ".......#G",
    "..#....#.",
    "S.#....#.",
    "..#......",
    ".....#...",
    ".........",
)
_OPEN_RIGHT, _OPEN_LEFT, _OPEN_BOTH = (
    ("........G", ".........", ".........", wall, ".........", "...S.....")
    for wall in ("########.", ".########", ".#######.")
)
_DISCOUNT = 0.95
# The book cuts no episode; this is several times what a random walk needs.
_LIMIT = 10_000


def dyna_maze() -> Problem:
    """Sutton and Barto (2018), example 8.1: +1 at the goal, 14 steps from the start."""
    return _maze("DynaMaze", _DYNA, "example 8.1")


def blocking_maze() -> Problem:
    """Sutton and Barto (2018), example 8.2: after 1000 steps 10 steps to the goal become 16.

    The wall's opening closes on the right and a new one opens on the left.
    """
    return _maze("BlockingMaze", _OPEN_RIGHT, "example 8.2", Change(1000, blocking_maze_after()))


def blocking_maze_after() -> Problem:
    """The blocking maze as it stays after its change."""
    return _maze("BlockingMaze-after", _OPEN_LEFT, "example 8.2")


def shortcut_maze() -> Problem:
    """Sutton and Barto (2018), example 8.3: after 3000 steps a path of 10 steps opens beside 16.

    The wall's opening on the left stays and a second one opens on the right.
    """
    return _maze("ShortcutMaze", _OPEN_LEFT, "example 8.3", Change(3000, shortcut_maze_after()))


def shortcut_maze_after() -> Problem:
    """The shortcut maze as it stays after its change."""
    return _maze("ShortcutMaze-after", _OPEN_BOTH, "example 8.3")


def _maze(name: str, rows: tuple[str, ...], where: str, change: Change | None = None) -> Problem:
    shape, cells = (len(rows), len(rows[0])), np.array(list("".join(rows)))
    whole = board(shape)
    shown = np.where(cells == "#", -1, whole.cell)
    return Problem(
        name=name,
        mdp=_mdp(shape, cells),
        source=f"Sutton and Barto (2018), {where}",
        actions=ACTIONS,
        grid=Grid(shape=shape, cell=shown, moves=whole.moves),
        max_steps=_LIMIT,
        change=change,
    )


def _mdp(shape: tuple[int, int], cells: np.ndarray) -> SuccessorMDP:
    """A move into a wall stays. Walls are states too, since they may come and go; none is entered.

    One who stands where a wall comes up can walk out.
    """
    own, to = np.arange(cells.size)[:, None], moved(shape)
    to = np.where(cells[to] == "#", own, to)
    return successor_mdp(
        to[:, :, None],
        np.ones((*to.shape, 1)),
        cells[to] == "G",
        cells == "S",
        discount=_DISCOUNT,
        terminal=cells == "G",
    )
