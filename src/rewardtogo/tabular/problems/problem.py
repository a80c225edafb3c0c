"""A Markov decision process with a name: what is needed to train on it, print it and draw it."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ... import validate
from ..mdp import AbstractMDP


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
    `change`: when it becomes another for those who learn in one run of steps, as `rtg.control`
    does; all others meet the MDP as it is at first. None for never.

    **Raises:** `ValueError` for a `change` into another number of states or actions, other terminal
    states, or another discount, and for one whose step is not before that of its own change.
    """

    name: str
    mdp: AbstractMDP
    source: str
    states: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    grid: Grid | None = None
    observation: np.ndarray | None = None
    max_steps: int | None = None
    change: "Change | None" = None

    def __post_init__(self):
        if self.change is not None:
            _check(self.mdp, self.change)


@dataclasses.dataclass(frozen=True)
class Change:
    """What a problem becomes.

    `step`: it is the other from then on, counted from the run's first step and from 0. `to`: the
    other, which may change again.

    **Raises:** `ValueError` unless `step` is a whole number above 0.
    """

    step: int
    to: Problem

    def __post_init__(self):
        validate.count("step", self.step)


def phases(problem: Problem) -> Iterator[tuple[int, Problem]]:
    """The problem and all that it becomes, each with the step from which it is that."""
    yield 0, problem
    change = problem.change
    while change is not None:
        yield change.step, change.to
        change = change.to.change


def with_discount(problem: Problem, discount: float) -> Problem:
    """The problem, and all that it becomes, with γ = `discount`."""
    change = problem.change
    return dataclasses.replace(
        problem,
        mdp=dataclasses.replace(problem.mdp, discount=discount),
        change=change and Change(change.step, with_discount(change.to, discount)),
    )


def _check(mdp: AbstractMDP, change: Change) -> None:
    after, later = change.to.mdp, change.to.change
    if later is not None and later.step <= change.step:
        raise ValueError(
            f"`change` at step {change.step} is followed by one at step {later.step}; steps count "
            "from the first of the run and must rise."
        )
    shape, new = (mdp.num_states, mdp.num_actions), (after.num_states, after.num_actions)
    if shape != new:
        raise ValueError(f"`change` must keep {shape} states and actions; got {new}.")
    if not np.array_equal(mdp.terminal, after.terminal):
        raise ValueError("`change` must keep the terminal states.")
    if mdp.discount != after.discount:
        raise ValueError(f"`change` must keep `discount`, {mdp.discount}; got {after.discount}.")
