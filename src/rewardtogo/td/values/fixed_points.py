r"""Where learning with linear values $Xw$ ends, exactly.

$X$ has a row of features for each state; a terminal state is worth 0 whatever its row. Both answers
weigh states by the *on-policy distribution* μ: the share of all steps that are taken in a state.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.csgraph import connected_components

from ...tabular.exact.distances import require_distributions
from ...tabular.exact.evaluation import state_values
from ...tabular.mdp import AbstractMDP
from ...types import AnyArray


def on_policy_distribution(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[np.ndarray, " states"]:
    r"""μ, with a new episode where one ends: $\mu^\top = \mu^\top \tilde P$, $\sum_s \mu(s) = 1$.

    $\tilde P(s, s') = P^\pi(s, s') + P^\pi(s, \text{terminal})\, \mu_0(s')$ between states that are
    not terminal. For episodes that end it is Sutton and Barto (2018), eq. 9.2 and 9.3; for a
    process without an end, the stationary distribution. Not discounted. One dense solve.

    **Raises:** `ValueError` for rows that are no distribution, and where an episode can come to
    stay in one of several parts, so that its steps have no one distribution.
    """
    require_distributions("policy", policy)
    terminal, initial = np.asarray(mdp.terminal), np.asarray(mdp.initial, np.float64)
    chain = np.asarray(mdp.policy_matrix(policy))
    restarting = np.where(terminal, 0, chain) + chain[:, terminal].sum(axis=1)[:, None] * initial
    met = _reached(restarting, initial > 0)
    inner = restarting[np.ix_(met, met)]
    _check_one_part(inner)
    # Singular by one dimension, which the sum of 1 takes away.
    matrix = np.eye(len(inner)) - inner.T + 1
    share = np.zeros(mdp.num_states)
    share[met] = np.linalg.solve(matrix, np.ones(len(inner)))
    return share


def td_fixed_point(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    features: Float[AnyArray, "rows features"],
) -> Float[np.ndarray, " features"]:
    r"""Where linear semi-gradient TD(0) ends: $w_{TD} = A^{-1} b$.

    $$A = X^\top D (I - \gamma P^\pi) X, \qquad b = X^\top D r^\pi, \qquad D = \text{diag}\,\mu$$

    Sutton and Barto (2018), eq. 9.11 and 9.12. Of dependent features the shortest $w$, which is
    where learning from $w = 0$ ends; $Xw$ is the same for all.

    **Raises:** `ValueError` as `on_policy_distribution`, and for features of the wrong width.
    """
    x, share = _rows(mdp, features), on_policy_distribution(mdp, policy)
    following = mdp.discount * np.asarray(mdp.policy_matrix(policy)) @ x
    reward = np.sum(np.asarray(policy, np.float64) * np.asarray(mdp.reward), axis=1)
    weighted = x.T * share
    return np.linalg.lstsq(weighted @ (x - following), weighted @ reward, rcond=None)[0]


def monte_carlo_projection(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    features: Float[AnyArray, "rows features"],
) -> Float[np.ndarray, " features"]:
    r"""Where linear gradient Monte Carlo ends: the least $\overline{VE}$ that features allow.

    $$w = \arg\min_w \sum_s \mu(s)\,[V^\pi(s) - w^\top x(s)]^2$$

    Sutton and Barto (2018), eq. 9.1. Of dependent features the shortest $w$.

    **Raises:** `ValueError` as `td_fixed_point`, and for values that do not exist at γ = 1.
    """
    x, root = _rows(mdp, features), np.sqrt(on_policy_distribution(mdp, policy))
    exact = np.asarray(state_values(mdp, policy))
    return np.linalg.lstsq(x * root[:, None], exact * root, rcond=None)[0]


def _rows(mdp: AbstractMDP, features: Float[AnyArray, "states features"]) -> np.ndarray:
    """X in float64, terminal rows 0."""
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or len(x) != mdp.num_states or not x.shape[1]:
        raise ValueError(
            f"features of the wrong width: `features` must have a row for each of "
            f"{mdp.num_states} states; got shape {x.shape}."
        )
    return np.where(np.asarray(mdp.terminal)[:, None], 0, x)


def _reached(chain: np.ndarray, first: Bool[np.ndarray, " states"]) -> Bool[np.ndarray, " states"]:
    met, frontier = first.copy(), first
    while frontier.any():
        frontier = (chain[frontier] > 0).any(axis=0) & ~met
        met |= frontier
    return met


def _check_one_part(chain: np.ndarray) -> None:
    parts, label = connected_components(chain > 0, connection="strong")
    left = np.zeros(parts, bool)
    source, target = np.nonzero(chain)
    left[label[source][label[source] != label[target]]] = True
    if (~left).sum() > 1:
        raise ValueError(
            f"under this policy an episode comes to stay in one of {(~left).sum()} parts of the "
            "process: its steps have no one on-policy distribution."
        )
