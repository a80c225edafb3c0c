"""Moves on a rectangular board whose walls hold."""

import numpy as np
from jaxtyping import Bool, Float, Int

from .problem import Grid


ACTIONS = ("up", "right", "down", "left")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


def moved(shape: tuple[int, int]) -> Int[np.ndarray, "cells actions"]:
    """The cell, row-major, that each of `MOVES` leads to; its own where a wall is in the way."""
    rows, columns = shape
    cell = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    beyond = np.pad(cell, 1, mode="edge")
    ahead = [beyond[1 + i : 1 + i + rows, 1 + j : 1 + j + columns] for i, j in MOVES]
    return np.stack(ahead, axis=2).reshape(rows * columns, len(MOVES))


def board(shape: tuple[int, int]) -> Grid:
    """One state a cell, row-major, and an arrow for each of `MOVES`."""
    arrows = tuple((float(down), float(right)) for down, right in MOVES)
    return Grid(shape=shape, cell=np.arange(shape[0] * shape[1]), moves=arrows)


def uniform(among: Bool[np.ndarray, " states"]) -> Float[np.ndarray, " states"]:
    """The uniform distribution over the states that are marked."""
    return among / among.sum()
