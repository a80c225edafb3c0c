"""Every trajectory of a small MDP with its probability: expectations as sums, never sampled."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Inexact, Int

from ...tabular.mdp import TabularMDP
from ...types import AnyArray


class Trajectories(NamedTuple):
    r"""All $(s_0, a_0, \dots, a_{H-1}, s_H)$, time-major; an episode that ended waits at its end.

    `mask`: the step was taken, its state is not terminal. `dynamics`:
    $\mu_0(s_0) \prod_t P(s_{t+1} \mid s_t, a_t)$, without the policy.
    """

    state: Int[np.ndarray, "horizon paths"]
    action: Int[np.ndarray, "horizon paths"]
    reward: Float[np.ndarray, "horizon paths"]
    next_state: Int[np.ndarray, "horizon paths"]
    mask: Bool[np.ndarray, "horizon paths"]
    dynamics: Float[np.ndarray, " paths"]


def enumerate_trajectories(mdp: TabularMDP, *, horizon: int) -> Trajectories:
    r"""All trajectories of `horizon` steps whose dynamics have positive probability.

    Up to $|S|\,(|A||S|)^H$ of them, so for a few states and steps only. Action 0 stands for the
    wait in a terminal state. Rewards are $r(s, a, s')$ where the MDP has it, else the mean
    $r(s, a)$: noise of the reward is averaged out.

    **Raises:** `ValueError` if `horizon` < 1.
    """
    if horizon < 1:
        raise ValueError(f"`horizon` must be at least 1 step; got {horizon}.")
    rows = []
    for start in np.flatnonzero(mdp.initial):
        grown = [((int(start),), (), float(mdp.initial[start]))]
        for _ in range(horizon):
            grown = [longer for path in grown for longer in _extensions(mdp, *path)]
        rows += grown
    states, actions, dynamics = (np.array(column).T for column in zip(*rows, strict=True))
    state, next_state = states[:-1], states[1:]
    if mdp.successor_reward is None:
        reward = np.asarray(mdp.reward)[state, actions]
    else:
        reward = np.asarray(mdp.successor_reward)[state, actions, next_state]
    mask = ~np.asarray(mdp.terminal)[state]
    return Trajectories(state, actions, reward, next_state, mask, dynamics)


def probabilities(
    paths: Trajectories, policy: Inexact[AnyArray, "states actions"]
) -> Inexact[np.ndarray, " paths"]:
    r"""$p_\pi(\tau) = \mu_0(s_0) \prod_t \pi(a_t \mid s_t) P(s_{t+1} \mid s_t, a_t)$; sums to 1."""
    taken = np.where(paths.mask, np.asarray(policy)[paths.state, paths.action], 1)
    return paths.dynamics * taken.prod(axis=0)


type _Path = tuple[tuple[int, ...], tuple[int, ...], float]


def _extensions(
    mdp: TabularMDP, states: tuple[int, ...], actions: tuple[int, ...], chance: float
) -> Iterator[_Path]:
    here = states[-1]
    choices = [0] if mdp.terminal[here] else range(mdp.num_actions)
    for action, there in itertools.product(choices, range(mdp.num_states)):
        p = float(mdp.transition[here, action, there])
        if p > 0:
            yield (*states, there), (*actions, action), chance * p
