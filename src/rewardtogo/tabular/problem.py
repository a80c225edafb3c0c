"""A Markov decision process with a name: what is needed to train on it, print it and draw it."""

import dataclasses

import numpy as np

from .mdp import AbstractMDP


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the states of a problem lie on a board, for pictures.

    `shape`: rows and columns. `cell`: row-major place of each state, −1 for one that is not drawn;
    several states may share a place. `moves`: the direction (down, right) of each action's arrow;
    (0, 0) for one that stays or does something else.
    """

    shape: tuple[int, int]
    cell: np.ndarray
    moves: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A named MDP.

    `source`: where it comes from. `states`, `actions`: a name for each, or () for their numbers.
    `observation`: what a learner sees in each state, whole numbers `[S]`; None if it sees the
    state. `max_steps`: the limit on an episode's length that a learner meets; None for none.
    """

    name: str
    mdp: AbstractMDP
    source: str
    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    grid: Grid | None = None
    observation: np.ndarray | None = None
    max_steps: int | None = None
