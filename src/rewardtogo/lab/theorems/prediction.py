"""Monte Carlo evaluation, and the bias of a maximum."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import state_values
from ...tabular.mdp import tabular_mdp
from .cases import draws_of
from .theorem import Sides, Theorem, at_most, equal, less, unequal


LENGTH = 9


def _estimate(states: list[int], returns: np.ndarray, state: int, *, first: bool) -> float:
    """What one episode says of a state that it visits."""
    seen = [value for visited, value in zip(states, returns, strict=True) if visited == state]
    return seen[0] if first else float(np.mean(seen))


def _returns(rewards: Sequence[float], discount: float) -> np.ndarray:
    to_go, total = np.zeros(len(rewards)), 0.0
    for step in reversed(range(len(rewards))):
        to_go[step] = total = rewards[step] + discount * total
    return to_go


def _loop(key: PRNGKeyArray) -> Sequence[Sides]:
    again = draws_of(key).uniform(0.1, 0.8)
    mdp = tabular_mdp([[[again, 1 - again]], [[0.0, 1.0]]], [[1.0], [0.0]], [1, 0], discount=1.0)
    lengths = range(1, int(np.ceil(np.log(1e-16) / np.log(again))))
    means = np.zeros(2)
    for length in lengths:
        weight, returns = again ** (length - 1) * (1 - again), _returns([1.0] * length, 1.0)
        for column, first in enumerate((True, False)):
            means[column] += weight * _estimate([0] * length, returns, 0, first=first)
    value = state_values(mdp, np.ones((2, 1)))[0]
    return [
        equal("V = 1/(1−c)", value, [1 / (1 - again)]),
        equal("E of the first visit's return", means[0], value),
        equal("E of the mean over visits = (1/(1−c) + 1)/2", means[1], (value + 1) / 2),
    ]


def _episodes(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    # Going on is so rare that what is longer than LENGTH is below rounding.
    onward = 0.05 * draws.dirichlet(np.ones(2), 2)
    dynamics = np.zeros((3, 1, 3))
    dynamics[:2, 0, :2] = onward
    dynamics[:2, 0, 2] = 1 - onward.sum(axis=1)
    dynamics[2, 0, 2] = 1
    reward, discount = np.append(draws.normal(size=2), 0), 0.9
    mdp = tabular_mdp(dynamics, reward[:, None], [0.4, 0.6, 0], discount=discount)
    totals = np.zeros((2, 5))
    for length in range(1, LENGTH + 1):
        for states in itertools.product(range(2), repeat=length):
            steps = itertools.pairwise(states)
            weight = np.prod([onward[step] for step in steps]) * (0.4, 0.6)[states[0]]
            weight *= dynamics[states[-1], 0, 2]
            returns = _returns([reward[s] for s in states], discount)
            for state in set(states):
                totals[state] += weight * np.array(_record(list(states), returns, state))
    truth = state_values(mdp, np.ones((3, 1)))[:2]
    return [
        equal("E[first visit's return | visited] = V", totals[:, 0] / totals[:, 2], truth),
        unequal("E[mean over visits | visited] against V", totals[:, 1] / totals[:, 2], truth),
        equal("E[sum over visits] / E[visits] = V", totals[:, 3] / totals[:, 4], truth),
    ]


def _record(states: list[int], returns: np.ndarray, state: int) -> tuple[float, ...]:
    """First visit, mean over visits, whether visited, sum over visits, visits."""
    visits = [visited == state for visited in states]
    return (
        _estimate(states, returns, state, first=True),
        _estimate(states, returns, state, first=False),
        1.0,
        float(returns[visits].sum()),
        float(sum(visits)),
    )


def _noise(values: np.ndarray, size: float) -> np.ndarray:
    """All estimates `values ± size`, equally likely: `[2^n, n]`."""
    return values + size * np.array(list(itertools.product((-1, 1), repeat=len(values))))


def _maximum(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    values = np.sort(draws.normal(size=4))
    wide = float(np.ptp(values))
    means = [_noise(values, size).max(axis=1).mean() for size in (0.0, 0.01 * wide, wide)]
    tied = _noise(np.full(4, values[0]), 1.0)
    return [
        at_most("max E Q̂ ≤ E max Q̂", values.max(), means),
        less("... by more than 0 where the best may change", values.max(), means[2]),
        equal(
            "equal actions: too high by σ(1 − 2·2⁻ⁿ)",
            tied.max(axis=1).mean() - values[0],
            [1 - 2 / 16],
        ),
    ]


def _double(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    values = draws.normal(size=4)
    wide = float(np.ptp(values))
    chosen, judged = _noise(values, wide), _noise(values, wide)
    picks = chosen.argmax(axis=1)
    double = np.mean([[row[pick] for row in judged] for pick in picks])
    shares = np.bincount(picks, minlength=4) / len(picks)
    tied = _noise(np.full(4, values[0]), wide)
    even = np.mean([[row[pick] for row in tied] for pick in tied.argmax(axis=1)])
    return [
        at_most("E Q̂₂(argmax Q̂₁) ≤ max E Q̂", double, values.max()),
        equal("... = Σ P(a chosen) E Q̂(a)", double, shares @ values),
        less("... < E max Q̂", double, chosen.max(axis=1).mean()),
        equal("equal actions: no bias", even, values[0]),
    ]


THEOREMS = (
    Theorem(
        name="first visit and every visit, one state",
        statement="After one episode: 1/(1−c), unbiased, against (1/(1−c) + 1)/2.",
        source="004 §4.1; Singh and Sutton (1996), section 3",
        check=_loop,
    ),
    Theorem(
        name="first visit and every visit",
        statement="The first visit's return has mean V; the mean over visits does not.",
        source="004 §4.1; Singh and Sutton (1996), section 3",
        check=_episodes,
    ),
    Theorem(
        name="maximum of estimates",
        statement="E max Q̂ ≥ max E Q̂.",
        source="004 §5.1; van Hasselt (2010), section 2",
        check=_maximum,
    ),
    Theorem(
        name="double estimator",
        statement="The estimate of one table at the other's best action is never too high in mean.",
        source="004 §5.1; van Hasselt (2010), lemma 1",
        check=_double,
    ),
)
