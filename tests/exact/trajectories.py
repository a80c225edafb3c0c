"""Every trajectory of a small MDP with its probability: expectations as sums, never sampled."""

import itertools
from typing import NamedTuple

import numpy as np


class Trajectories(NamedTuple):
    """Time-major, `[horizon, trajectories]`; a finished episode waits in its terminal state."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_state: np.ndarray
    mask: np.ndarray  # the step was taken: its state is not terminal
    dynamics: np.ndarray  # [trajectories]: μ₀(s₀) Π P(s_{t+1} | s_t, a_t), without the policy


def enumerate_trajectories(mdp, horizon):
    """All (s₀, a₀, …, a_{H-1}, s_H) of positive probability; one action stands for a wait."""
    rows = []
    for start in np.flatnonzero(mdp.initial):
        grow = [((int(start),), (), mdp.initial[start])]
        for _ in range(horizon):
            grow = [longer for path in grow for longer in extend(mdp, *path)]
        rows += grow
    states = np.array([row[0] for row in rows]).T
    action = np.array([row[1] for row in rows]).T
    state, next_state = states[:-1], states[1:]
    mask = ~np.asarray(mdp.terminal)[state]
    reward = np.asarray(mdp.reward)[state, action]
    dynamics = np.array([row[2] for row in rows])
    return Trajectories(state, action, reward, next_state, mask, dynamics)


def extend(mdp, states, actions, probability):
    here = states[-1]
    choices = [0] if mdp.terminal[here] else range(mdp.num_actions)
    for action, there in itertools.product(choices, range(mdp.num_states)):
        p = mdp.transition[here, action, there]
        if p > 0:
            yield (*states, there), (*actions, action), probability * p
