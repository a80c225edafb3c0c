"""Walks along a line: few states, and each of them known for one difficulty."""

import numpy as np

from ..mdp import tabular_mdp
from ..successors import successor_mdp
from .problem import Grid, Problem


_LEFT_RIGHT = ("left", "right")


def _line(num_states: int) -> Grid:
    return Grid(shape=(1, num_states), cell=np.arange(num_states), moves=((0.0, -1.0), (0.0, 1.0)))


def random_walk(length: int, jump: int = 1) -> Problem:
    """Sutton and Barto (2018), examples 6.2 (5 states), 7.1 (19) and 9.1 (1000, jumps up to 100).

    A walk that starts in the centre and ends beyond either end. An action leads to one of the
    `jump` neighbours on its side, each equally likely; those beyond the end are the end. The right
    one pays 1; the left one pays 0 if there are 5 states, as in example 6.2, and −1 otherwise. The
    book's walk is the policy that goes left or right with equal probability. States 0 and
    `length` + 1 are the ends.

    **Raises:** `ValueError` for fewer than 3 states between the ends, or a jump longer than that.
    """
    if length < 3:
        raise ValueError(f"RandomWalk has at least 3 states between its ends; got {length}.")
    if not 1 <= jump <= length:
        raise ValueError(
            f"a jump of RandomWalk is of 1 to {length} states, as many as there are; got {jump}."
        )
    state, far = np.arange(length + 2), np.arange(1, jump + 1)
    terminal = (state == 0) | (state == length + 1)
    to = np.clip(state[:, None, None] + np.stack([-far, far]), 0, length + 1)
    left = 0.0 if length == 5 else -1.0
    reward = np.where(to == 0, left, np.where(to == length + 1, 1.0, 0.0))
    letters = tuple("ABCDE") if length == 5 else tuple(str(i) for i in range(1, length + 1))
    mdp = successor_mdp(
        to,
        np.full(to.shape, 1 / jump),
        reward[:, :, 0] if jump == 1 else reward,
        state == (length + 1) // 2,
        discount=1.0,
        terminal=terminal,
    )
    example = "9.1" if jump > 1 else "6.2" if length == 5 else "7.1"
    return Problem(
        name=f"RandomWalk-{length}" if jump == 1 else f"RandomWalk-{length}-{jump}",
        mdp=mdp,
        source=f"Sutton and Barto (2018), example {example}",
        states=("left end", *letters, "right end"),
        actions=_LEFT_RIGHT,
        grid=_line(length + 2),
    )


def short_corridor() -> Problem:
    r"""Sutton and Barto (2018), example 13.1: in the second of three cells, actions are reversed.

    All cells look alike, so that a learner's policy is one probability $p$ of going right. It is
    worth $(2p-4)/(p(1-p))$ from the start, most at $p = 2 - \sqrt 2$: $-6 - 4\sqrt 2$.
    """
    to = np.array([[0, 1], [2, 0], [1, 3], [3, 3]])
    state = np.arange(4)
    mdp = successor_mdp(
        to[:, :, None],
        np.ones((4, 2, 1)),
        np.full((4, 2), -1.0),
        state == 0,
        discount=1.0,
        terminal=state == 3,
    )
    return Problem(
        name="ShortCorridor",
        mdp=mdp,
        source="Sutton and Barto (2018), example 13.1",
        states=("start", "reversed", "last", "goal"),
        actions=_LEFT_RIGHT,
        grid=_line(4),
        observation=np.zeros(4, np.int64),
    )


def maximisation_bias() -> Problem:
    """Sutton and Barto (2018), example 6.7: the largest of ten noisy numbers looks good.

    From A half of the actions end the episode for 0, the others lead to B for 0; from B each ends
    it for a reward drawn from N(−0.1, 1). The book gives A one action of each kind; here all
    states have the same ten, and under ε-greedy the optimal share of left is again ε/2.
    """
    transition = np.zeros((3, 10, 3))
    transition[0, :5, 1] = transition[0, 5:, 2] = transition[1:, :, 2] = 1
    reward, noise = np.zeros((3, 10)), np.zeros((3, 10))
    reward[1], noise[1] = -0.1, 1.0
    mdp = tabular_mdp(
        transition,
        reward,
        [1.0, 0.0, 0.0],
        discount=1.0,
        terminal=[False, False, True],
        reward_noise=noise,
    )
    return Problem(
        name="MaximisationBias",
        mdp=mdp,
        source="Sutton and Barto (2018), example 6.7",
        states=("A", "B", "end"),
        actions=tuple(f"{way} {i}" for way in _LEFT_RIGHT for i in range(1, 6)),
    )


def river_swim() -> Problem:
    """Strehl and Littman (2008): against the current to a reward that is hard to reach.

    Left always succeeds, and pays 5 at the left bank. Right succeeds with probability 0.3 and is
    swept back with 0.1, with 0.7 at the right bank, where staying pays 10000; at the left bank it
    stays with 0.7. Later papers change these numbers. An episode starts in state 1 or 2, and
    learners are cut off after 200 steps.
    """
    n = 6
    transition = np.zeros((n, 2, n))
    reward = np.zeros((n, 2, n))
    for s in range(n):
        transition[s, 0, max(s - 1, 0)] = 1
        back, ahead = (0.0 if s == 0 else 0.7 if s == n - 1 else 0.1), 0.3
        transition[s, 1, max(s - 1, 0)] += back
        transition[s, 1, min(s + 1, n - 1)] += ahead
        transition[s, 1, s] += 1 - back - ahead
    reward[0, 0, 0] = 5
    reward[n - 1, 1, n - 1] = 10000
    initial = [0, 0.5, 0.5, 0, 0, 0]
    return Problem(
        name="RiverSwim",
        mdp=tabular_mdp(transition, reward, initial, discount=0.95, terminal=np.zeros(n, bool)),
        source="Strehl and Littman (2008)",
        actions=_LEFT_RIGHT,
        grid=_line(n),
        max_steps=200,
    )


def chain() -> Problem:
    """Five states, 10 at the end of them, or 2 at once for going back to the first.

    Dearden, Friedman and Russell (1998); Strens (2000), where the best policy earns 3.677 a step.
    With probability 0.2 the other action is taken. Going forward in the last state stays there and
    pays 10. Learners are cut off after 1000 steps.
    """
    n, slip = 5, 0.2
    state = np.arange(n)
    forward, back = np.minimum(state + 1, n - 1), np.zeros(n, int)
    pay = np.where(state == n - 1, 10.0, 0.0)
    to = np.stack([forward, back], axis=1)
    mdp = successor_mdp(
        np.stack([to, to[:, ::-1]], axis=2),
        np.broadcast_to([1 - slip, slip], (n, 2, 2)),
        np.stack([np.stack([pay, pay * 0 + 2], 1), np.stack([pay * 0 + 2, pay], 1)], axis=2),
        state == 0,
        discount=0.99,
        terminal=np.zeros(n, bool),
    )
    return Problem(
        name="Chain",
        mdp=mdp,
        source="Dearden, Friedman and Russell (1998); Strens (2000)",
        states=tuple(str(i) for i in range(1, n + 1)),
        actions=("forward", "back"),
        max_steps=1000,
    )
