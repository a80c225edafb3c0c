"""Value iteration as plainly as it can be written, to hold problems against published values."""

import numpy as np

from rewardtogo.tabular.mdp import AbstractMDP
from rewardtogo.tabular.successors import dense


def optimal_action_values(mdp: AbstractMDP) -> np.ndarray:
    table = dense(mdp)
    p, q = np.asarray(table.transition), np.asarray(table.reward)
    for _ in range(10_000):
        values = q.max(axis=1)
        q = np.asarray(table.reward) + mdp.discount * (p @ values)
        if np.abs(q.max(axis=1) - values).max() <= 1e-12 * max(1.0, np.abs(q).max()):
            return q
    raise AssertionError("value iteration does not converge: some episodes never end")


def optimal_values(mdp: AbstractMDP) -> np.ndarray:
    return optimal_action_values(mdp).max(axis=1)
