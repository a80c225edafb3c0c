# pyright: reportMissingImports=false
"""The MDPs of the `solve` rows, made of NumPy alone: the same numbers in every process."""

from typing import NamedTuple

import numpy as np


DISCOUNT = 0.99
STATES, ACTIONS = 1000, 10


class Table(NamedTuple):
    """`transition[s, a, s']` and `reward[s, a]`."""

    transition: np.ndarray
    reward: np.ndarray


class Lists(NamedTuple):
    """Outcomes k of (s, a): `successor[s, a, k]`, `probability[s, a, k]`, and `reward[s, a]`."""

    successor: np.ndarray
    probability: np.ndarray
    reward: np.ndarray


def dense() -> Table:
    """Every row uniform on the simplex."""
    generator = np.random.default_rng(0)
    rows = generator.exponential(size=(STATES, ACTIONS, STATES))
    reward = generator.standard_normal((STATES, ACTIONS))
    return Table(rows / rows.sum(-1, keepdims=True), reward)


def branching() -> Lists:
    """Three random successors for each state and action (Garnet)."""
    return _random_lists(3)


def deterministic() -> Lists:
    """One random successor for each state and action."""
    return _random_lists(1)


def _random_lists(outcomes: int) -> Lists:
    generator = np.random.default_rng(1)
    successor = np.argsort(generator.random((STATES, ACTIONS, STATES)), axis=-1)[..., :outcomes]
    probability = generator.exponential(size=successor.shape)
    probability /= probability.sum(-1, keepdims=True)
    return Lists(successor, probability, generator.standard_normal((STATES, ACTIONS)))


def small_slip() -> Lists:
    """A line on which action a moves a - 5 places, and fails with probability .1; the end pays."""
    states = np.broadcast_to(np.arange(STATES)[:, None], (STATES, ACTIONS))
    moved = np.clip(states + np.arange(ACTIONS) - ACTIONS // 2, 0, STATES - 1)
    successor = np.stack([moved, states], axis=-1)
    probability = np.broadcast_to([0.9, 0.1], successor.shape).copy()
    reward = np.zeros((STATES, ACTIONS))
    reward[-1] = 1
    return Lists(successor, probability, reward)


def grid(side: int = 300) -> Lists:
    """Four directions, .8 ahead and .1 to each side; entering the last corner pays 1 and ends."""
    states = np.arange(side * side)
    row, column = np.divmod(states, side)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    to = [
        np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1)
        for down, right in moves
    ]
    successor = np.stack(
        [np.stack([to[a], to[(a + 1) % 4], to[(a - 1) % 4]], axis=-1) for a in range(4)], axis=1
    )
    probability = np.broadcast_to([0.8, 0.1, 0.1], successor.shape).copy()
    goal = states[-1]
    reward = np.sum(probability * (successor == goal), axis=-1)
    successor[goal], reward[goal] = goal, 0
    return Lists(successor, probability, reward)


LISTS = {
    "branching": branching,
    "deterministic": deterministic,
    "small-slip": small_slip,
    "grid": grid,
}
NAMES = ("dense", *LISTS)
# So many to a repetition, where one would be shorter than it takes a waiting process to wake up.
SOLVES = {"dense": 10, "branching": 20, "deterministic": 10, "small-slip": 10, "grid": 1}
