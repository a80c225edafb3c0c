"""Gridworlds: two from the textbook, one with wind, and one of any size that is slippery."""

import numpy as np

from ..successors import successor_mdp
from .boards import ACTIONS, board, moved, uniform
from .problem import Problem


_MOST_CELLS = 2**31 - 1
_SLIP = 0.1


def gridworld_4x4() -> Problem:
    """Sutton and Barto (2018), example 4.1: −1 a step until one of two corners is reached.

    The book's one terminal state, shown in two places, is two states here. An episode starts
    anywhere else.
    """
    terminal = np.zeros(16, bool)
    terminal[[0, 15]] = True
    to = moved((4, 4))[:, :, None]
    mdp = successor_mdp(
        to,
        np.ones(to.shape),
        np.full((16, 4), -1.0),
        uniform(~terminal),
        discount=1.0,
        terminal=terminal,
    )
    return Problem(
        name="Gridworld-4x4",
        mdp=mdp,
        source="Sutton and Barto (2018), example 4.1",
        actions=ACTIONS,
        grid=board((4, 4)),
    )


def gridworld_5x5() -> Problem:
    """Sutton and Barto (2018), example 3.5: two cells that pay and carry the agent away.

    Every action in A pays 10 and leads to A′, in B 5 and to B′; a step into the wall pays −1.
    The task never ends: learners start anywhere and are cut off after 100 steps.
    """
    to = moved((5, 5))
    reward = np.where(to == np.arange(25)[:, None], -1.0, 0.0)
    to[1], reward[1] = 21, 10
    to[3], reward[3] = 13, 5
    mdp = successor_mdp(
        to[:, :, None],
        np.ones((25, 4, 1)),
        reward,
        np.full(25, 1 / 25),
        discount=0.9,
        terminal=np.zeros(25, bool),
    )
    return Problem(
        name="Gridworld-5x5",
        mdp=mdp,
        source="Sutton and Barto (2018), example 3.5",
        actions=ACTIONS,
        grid=board((5, 5)),
        max_steps=100,
    )


def windy_gridworld() -> Problem:
    """Sutton and Barto (2018), example 6.5: −1 a step to the goal, against an upward wind.

    The wind's strength is that of the column a step leaves.
    """
    shape, start, goal = (7, 10), 30, 37
    wind = np.tile([0, 0, 0, 1, 1, 1, 2, 2, 1, 0], 7)
    row, column = np.divmod(moved(shape), 10)
    # A move off the board is held by the wall before the wind blows.
    to = np.maximum(row - wind[:, None], 0) * 10 + column
    cells = np.arange(70)
    mdp = successor_mdp(
        to[:, :, None],
        np.ones((70, 4, 1)),
        np.full((70, 4), -1.0),
        cells == start,
        discount=1.0,
        terminal=cells == goal,
    )
    return Problem(
        name="WindyGridworld",
        mdp=mdp,
        source="Sutton and Barto (2018), example 6.5",
        actions=ACTIONS,
        grid=board(shape),
    )


def slippery_grid(rows: int, columns: int) -> Problem:
    """From the first corner to the last, where entering it pays 1, on ice.

    A step goes where it is meant to with probability 0.8, and to either side of that with 0.1;
    walls hold. As Russell and Norvig (2010), section 17.1, without costs and obstacles.

    **Raises:** `ValueError` for a board of fewer than two cells.
    """
    cells = rows * columns
    if not 2 <= cells <= _MOST_CELLS:
        raise ValueError(
            f"SlipperyGrid has 2 to {_MOST_CELLS} cells; got {rows} x {columns}, {cells}."
        )
    action = np.arange(4)
    sides = np.stack([action, (action + 1) % 4, (action - 1) % 4], axis=1)
    to = moved((rows, columns))[:, sides]
    state = np.arange(cells)
    mdp = successor_mdp(
        to,
        np.broadcast_to([1 - 2 * _SLIP, _SLIP, _SLIP], to.shape),
        to == cells - 1,
        state == 0,
        discount=0.99,
        terminal=state == cells - 1,
    )
    return Problem(
        name=f"SlipperyGrid-{rows}x{columns}",
        mdp=mdp,
        source="rewardtogo; the slip of Russell and Norvig (2010), section 17.1",
        actions=ACTIONS,
        grid=board((rows, columns)),
    )
