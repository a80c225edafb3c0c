r"""The Markov decision process that logged transitions suggest.

Of $N(s,a)$ visits to a state–action pair $N(s,a,s')$ led to $s'$; maximum likelihood gives

$$\hat P(s' \mid s,a) = \frac{N(s,a,s')}{N(s,a)}, \qquad
\hat r(s,a) = \text{the mean of the rewards logged there}$$

Planning on it is certainty equivalence (Sutton and Barto 2018, section 6.3), whose error falls as
$1/\sqrt N$. Everything here is NumPy on the host, and memory grows with the number
of different outcomes, not with $|S|^2 |A|$.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from .. import validate
from .checks import place
from .successors import SuccessorMDP, successor_mdp


def visit_counts(
    state: ArrayLike, action: ArrayLike, *, num_states: int, num_actions: int
) -> Int[np.ndarray, "states actions"]:
    r"""$N(s,a)$: how often each action was logged in each state.

    **Raises:** `ValueError` for logs that are empty, of different lengths, or not in the tables.
    """
    s, a = _numbers("state", state, num_states), _numbers("action", action, num_actions)
    _require_lengths(len(s), action=a)
    pairs = np.bincount(s * num_actions + a, minlength=num_states * num_actions)
    return pairs.reshape(num_states, num_actions)


def empirical_mdp(
    state: ArrayLike,
    action: ArrayLike,
    reward: ArrayLike,
    next_state: ArrayLike,
    terminated: ArrayLike,
    *,
    initial_state: ArrayLike,
    num_states: int,
    num_actions: int,
    discount: float,
    unvisited_value: float | None = None,
) -> SuccessorMDP:
    r"""The maximum-likelihood MDP of logged transitions, in any order.

    μ₀ are the frequencies of `initial_state`. A state entered with `terminated` is terminal. Where
    an episode ended in a state in which others live on (it is initial, acted in, or entered without
    `terminated`), the end is a terminal state of its own, the last, and `num_states` one more; rows
    that stay in an ended state without reward do not count as life. The mean and the variance of
    the rewards of each (s, a, s') are kept: rewards that differ become two outcomes of equal
    probability, at the mean ± the standard deviation.

    **Arguments:** `state`, `action`, `next_state`: whole numbers from 0, `[N]`. `reward`: `[N]`.
    `terminated`: booleans `[N]`, false where only the record ended (truncation). `initial_state`:
    where episodes began, any number of them. `unvisited_value`: what a pair that is not in the logs
    is worth: it pays that at once and leads to such a last state. A lower bound of returns makes
    planning pessimistic (MOReL, Kidambi et al. 2020), an upper bound optimistic (R-max, Brafman and
    Tennenholtz 2002). None refuses such pairs.
    **Raises:** `ValueError` for logs that are empty, of different lengths, not in the tables, or
    with a reward that is not finite; for the first pair not visited, where no value is given.
    """
    logs = _checked(state, action, reward, next_state, terminated, num_states, num_actions)
    first = _numbers("initial_state", initial_state, num_states)
    initial = np.bincount(first, minlength=num_states) / len(first)
    to, terminal = _ends(logs, initial)
    logs = logs._replace(successor=to)
    unvisited = visit_counts(logs.s, logs.a, num_states=num_states, num_actions=num_actions) == 0
    unvisited &= ~terminal[:, None]
    if unvisited.any():
        logs = _with_unvisited(logs, unvisited, unvisited_value)
    if logs.successor.max() == num_states:
        initial, terminal = np.append(initial, 0.0), np.append(terminal, True)
    lists = _outcome_lists(_outcomes(logs, num_actions), len(initial), num_actions)
    return successor_mdp(*lists, initial, discount=discount, terminal=terminal)


class _Logs(NamedTuple):
    s: np.ndarray
    a: np.ndarray
    reward: np.ndarray
    successor: np.ndarray
    ended: np.ndarray


def _ends(logs: _Logs, initial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Successors, |S| where an episode ended in a state that lives on; and the terminal states."""
    s, to, ended = logs.s, logs.successor, logs.ended
    resting = ended & (s == to) & (logs.reward == 0)
    lives = initial > 0
    lives[s[~resting]] = True
    lives[to[~ended]] = True
    terminal = np.zeros(len(initial), bool)
    terminal[to[ended]] = True
    return np.where(ended & lives[to], len(initial), to), terminal & ~lives


def _with_unvisited(logs: _Logs, unvisited: np.ndarray, value: float | None) -> _Logs:
    """One visit more for each pair without any: it paid `value` and the episode ended."""
    s, a = np.nonzero(unvisited)
    if value is None:
        raise ValueError(
            f"{place((s[0], a[0]))} is not in the logs, nor are {len(s) - 1} more of the "
            f"{unvisited.size} state–action pairs. Give `unvisited_value`, what such a pair is "
            "worth, or more data."
        )
    if not np.isfinite(value):
        raise ValueError(f"`unvisited_value` must be finite; got {value}.")
    ones = np.ones(len(s))
    return _Logs(
        np.append(logs.s, s),
        np.append(logs.a, a),
        np.append(logs.reward, value * ones),
        np.append(logs.successor, np.full(len(s), len(unvisited))),
        np.append(logs.ended, ones > 0),
    )


class _Outcomes(NamedTuple):
    """What was seen, one entry an outcome, sorted by `pair` = s·|A| + a."""

    pair: np.ndarray
    successor: np.ndarray
    weight: np.ndarray
    reward: np.ndarray


def _outcomes(logs: _Logs, num_actions: int) -> _Outcomes:
    pair = logs.s * num_actions + logs.a
    order = np.lexsort((logs.successor, pair))
    pair, to, r = pair[order], logs.successor[order], logs.reward[order]
    new = np.append(True, (np.diff(pair) != 0) | (np.diff(to) != 0))
    start, group = np.flatnonzero(new), np.cumsum(new) - 1
    count = np.bincount(group)
    low, high = np.minimum.reduceat(r, start), np.maximum.reduceat(r, start)
    # Rewards that are all the same are kept to the last bit, which their mean may not be.
    mean = np.where(low == high, low, np.bincount(group, r) / count)
    deviation = np.sqrt(np.bincount(group, (r - mean[group]) ** 2) / count)
    copies = 1 + (low < high)
    index = np.repeat(np.arange(len(start)), copies)
    sign = np.where(np.append(True, np.diff(index) != 0), 1, -1)
    return _Outcomes(
        pair[start][index],
        to[start][index],
        (count / copies)[index],
        mean[index] + sign * deviation[index],
    )


def _outcome_lists(
    seen: _Outcomes, num_states: int, num_actions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Successors, probabilities and rewards, `[S, A, K]`, padded with probability 0."""
    pairs = num_states * num_actions
    length = np.bincount(seen.pair, minlength=pairs)
    total = np.bincount(seen.pair, seen.weight, minlength=pairs)
    place_in_list = np.arange(len(seen.pair)) - (np.cumsum(length) - length)[seen.pair]
    shape = (pairs, int(length.max()))
    successor, probability, reward = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    where = seen.pair, place_in_list
    successor[where] = seen.successor
    probability[where] = seen.weight / total[seen.pair]
    reward[where] = seen.reward
    tables = (x.reshape(num_states, num_actions, -1) for x in (successor, probability, reward))
    successor, probability, reward = tables
    return successor, probability, reward


def _checked(
    state: ArrayLike,
    action: ArrayLike,
    reward: ArrayLike,
    next_state: ArrayLike,
    terminated: ArrayLike,
    num_states: int,
    num_actions: int,
) -> _Logs:
    s, to = _numbers("state", state, num_states), _numbers("next_state", next_state, num_states)
    a, r, ended = _numbers("action", action, num_actions), _rewards(reward), _flags(terminated)
    _require_lengths(len(s), action=a, reward=r, next_state=to, terminated=ended)
    return _Logs(s, a, r, to, ended)


def _numbers(name: str, value: ArrayLike, limit: int) -> np.ndarray:
    validate.count("num_actions" if name == "action" else "num_states", limit)
    array = np.asarray(value)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must hold whole numbers, [N] with N at least 1; "
            f"got shape {array.shape} of {array.dtype}."
        )
    wrong = np.flatnonzero((array < 0) | (array >= limit))
    if len(wrong):
        raise ValueError(
            f"`{name}` at entry {wrong[0]} is {array[wrong[0]]}; it must lie in 0..{limit - 1}."
        )
    return array.astype(np.int64)


def _rewards(value: ArrayLike) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"`reward` must hold numbers, [N]; got shape {array.shape} of {array.dtype}."
        )
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise ValueError(f"`reward` at entry {wrong[0]} is {array[wrong[0]]}; it must be finite.")
    return array.astype(np.float64)


def _flags(value: ArrayLike) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype != bool:
        raise ValueError(
            f"`terminated` must hold booleans, [N]; got shape {array.shape} of {array.dtype}."
        )
    return array


def _require_lengths(expected: int, **arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        if len(array) != expected:
            raise ValueError(
                f"`state` has {expected} entries and `{name}` {len(array)}; they must be as many."
            )
