"""Processes on which a method that looks sound goes wrong, with all that it takes to show it."""

import numpy as np

from ..mdp import tabular_mdp
from .problem import Problem


BAIRD_FEATURES = np.vstack(
    [
        np.hstack([2 * np.eye(6), np.zeros((6, 1)), np.ones((6, 1))]),
        [0, 0, 0, 0, 0, 0, 1, 2],
    ]
)
r"""$x(s) = 2 e_s + e_8$ for the upper six states, $x(7) = e_7 + 2 e_8$; `[7, 8]`."""
BAIRD_WEIGHTS = np.array([1.0, 1, 1, 1, 1, 1, 10, 1])
"""Where figures 11.2 and 11.5 of Sutton and Barto (2018) begin."""
BAIRD_BEHAVIOUR = np.tile([6 / 7, 1 / 7], (7, 1))
"""Dashed six times in seven: each next state is uniform."""
BAIRD_TARGET = np.tile([0.0, 1.0], (7, 1))
"""Solid, always."""


def baird() -> Problem:
    """Baird (1995), in the form of Sutton and Barto (2018), figure 11.1.

    Seven states; "dashed" leads to one of the upper six, each equally likely, "solid" to the
    lower one, the seventh. Nothing pays, so that every policy is worth 0. An episode begins
    anywhere and never ends; learners are cut off after 1000 steps.
    """
    transition = np.zeros((7, 2, 7))
    transition[:, 0, :6] = 1 / 6
    transition[:, 1, 6] = 1
    mdp = tabular_mdp(
        transition,
        np.zeros((7, 2)),
        np.full(7, 1 / 7),
        discount=0.99,
        terminal=np.zeros(7, bool),
    )
    return Problem(
        name="Baird",
        mdp=mdp,
        source="Baird (1995); Sutton and Barto (2018), section 11.2",
        states=tuple(str(i) for i in range(1, 8)),
        actions=("dashed", "solid"),
        max_steps=1000,
    )
