"""Learning from what a behaviour policy did: expectiles and advantage-weighted policies."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import action_values, expected_return, lookahead, state_values
from .cases import (
    Case,
    best_values,
    complex_gradient,
    divergence,
    draws_of,
    horizon_of,
    look,
    random_case,
    softmax,
    summed_advantages,
    summed_values,
)
from .theorem import Sides, Theorem, at_most, equal, less


LEVELS = np.array([0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 1 - 1e-6])


def _loss(points: np.ndarray, weights: np.ndarray, level: float, centre: float) -> float:
    gaps = points - centre
    return float(np.sum(weights * np.where(gaps < 0, 1 - level, level) * gaps**2))


def expectile(points: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The least squares centre, by the best of the parabolas between neighbouring points."""
    order = np.argsort(points)
    points, weights = points[order], weights[order]
    centres = []
    for above in range(1, len(points)):
        sides = weights * np.where(np.arange(len(points)) >= above, level, 1 - level)
        mean = np.sum(sides * points) / np.sum(sides)
        centres.append(float(np.clip(mean, points[above - 1], points[above])))
    return min(centres, key=lambda centre: _loss(points, weights, level, centre))


def _expectiles(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    points, weights = draws.normal(size=6), draws.dirichlet(np.full(6, 2.0))
    centres = np.array([expectile(points, weights, level) for level in LEVELS])
    gaps = points - centres[:, None]
    over, under = (np.maximum(sign * gaps, 0) @ weights for sign in (1, -1))
    top = points.max()
    # The points below m weigh as much as those above it, of which the largest is one.
    bound = (1 - LEVELS) / LEVELS * np.ptp(points) / weights[points.argmax()]
    return [
        equal("τE(x−m)₊ = (1−τ)E(m−x)₊", LEVELS * over, (1 - LEVELS) * under),
        equal("the ½-expectile is the mean", centres[LEVELS == 0.5], weights @ points),
        less("m rises with τ", centres[:-1], centres[1:]),
        less("m is below the maximum", centres, top),
        at_most("max − m ≤ (1−τ)/τ · range/P(max)", top - centres, bound),
    ]


def _implicit_values(case: Case, behaviour: np.ndarray, level: float) -> np.ndarray:
    """The fixed point of V = expectile of q over the behaviour's actions, q = r + γPV."""
    values = np.zeros(len(case.start))
    for _ in range(horizon_of(case.discount)):
        q = look(case, values)
        values = np.array(
            [expectile(row[p > 0], p[p > 0], level) for row, p in zip(q, behaviour, strict=True)]
        )
    return values


def _implicit(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, discount=0.5)
    behaviour = case.policy.copy()
    # One action of the first state never occurs in the data.
    behaviour[0, 0] = 0
    behaviour /= behaviour.sum(axis=1, keepdims=True)
    half, high, higher = (
        _implicit_values(case, behaviour, level) for level in (0.5, 0.9, 1 - 1e-5)
    )
    supported = best_values(case, behaviour > 0)
    q = look(case, higher)
    least = np.min(behaviour, where=behaviour > 0, initial=1.0)
    bound = 1e-5 / (1 - 1e-5) * np.ptp(q, axis=1).max() / least / (1 - case.discount)
    return [
        equal("τ = ½: V = V^β", half, state_values(case.mdp, behaviour)),
        equal("τ = ½: Q = Q^β", look(case, half), action_values(case.mdp, behaviour)),
        at_most("V rises with τ", np.stack([half, high]), np.stack([high, higher])),
        at_most("V ≤ the best value within the support", higher, supported),
        at_most("... and tends to it as τ → 1", supported - higher, bound),
    ]


def _one_network(key: PRNGKeyArray) -> Sequence[Sides]:
    case, level = random_case(key, ends=False, discount=0.5), 1 - 1e-3
    q = np.zeros_like(case.reward)
    following = (case.dynamics[..., None] * case.policy).reshape(q.size, -1)
    for _ in range(horizon_of(case.discount) // 2):
        targets = case.reward.reshape(-1, 1) + case.discount * q.ravel()
        pairs = zip(targets, following, strict=True)
        q = np.array([expectile(x, p, level) for x, p in pairs]).reshape(q.shape)
    best = lookahead(case.mdp, best_values(case))
    two = look(case, _implicit_values(case, case.policy, level))
    return [
        less("max Q* < max Q: a lucky s' is taken for skill", best.max(), q.max()),
        at_most("with V between them, Q ≤ Q*", two, best),
    ]


def _regularised(
    case: Case, advantage: np.ndarray, temperature: float, policy: np.ndarray
) -> np.ndarray:
    """Σ_a π A − τ KL(π‖π_β) in every state; complex policies too."""
    return (policy * advantage).sum(axis=-1) - temperature * divergence(policy, case.policy)


def _weighted(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    temperature = float(case.draws.choice([0.3, 2.0]))
    advantage = summed_advantages(case, case.policy)
    powers = case.policy * np.exp(advantage / temperature)
    best = powers / powers.sum(axis=1, keepdims=True)
    value = _regularised(case, advantage, temperature, best)
    rivals = case.draws.dirichlet(np.full(best.shape[1], 0.7), (50, len(best))) + 1e-9
    rivals /= rivals.sum(axis=-1, keepdims=True)
    total = lambda logits: _regularised(case, advantage, temperature, softmax(logits)).sum()
    gain = state_values(case.mdp, best) - summed_values(case, case.policy)
    return [
        equal("its value is τ log E_β exp(A/τ)", value, temperature * np.log(powers.sum(axis=1))),
        equal("gradient at π_β exp(A/τ)/Z", complex_gradient(total, np.log(best)), 0.0),
        at_most("any other ≤", _regularised(case, advantage, temperature, rivals), value),
        at_most(
            "τ KL(π‖π_β) ≤ V_π − V_β",
            np.where(case.live, temperature * divergence(best, case.policy), 0.0),
            gain,
        ),
        less("J_β < J_π", expected_return(case.mdp, case.policy), expected_return(case.mdp, best)),
    ]


def _regression(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    temperature = float(case.draws.choice([0.3, 2.0]))
    weights = case.policy * np.exp(summed_advantages(case, case.policy) / temperature)
    best = weights / weights.sum(axis=1, keepdims=True)
    likelihood = lambda policy: (weights * np.log(policy)).sum(axis=(-2, -1))
    rivals = case.draws.dirichlet(np.full(best.shape[1], 0.7), (50, len(best))) + 1e-9
    rivals /= rivals.sum(axis=-1, keepdims=True)
    slope = complex_gradient(lambda logits: likelihood(softmax(logits)), np.log(best))
    return [
        equal("gradient at π_β exp(A/τ)/Z", slope, 0.0),
        less("any other <", likelihood(rivals), likelihood(best)),
    ]


THEOREMS = (
    Theorem(
        name="expectile",
        statement="τE(x−m)₊ = (1−τ)E(m−x)₊; τ = ½ is the mean; m rises to the maximum as τ → 1.",
        source="004 §5.2; Newey and Powell (1987), theorem 1",
        check=_expectiles,
    ),
    Theorem(
        name="implicit Q-learning",
        statement="τ = ½ evaluates π_β; τ → 1 gives the best policy within the data's support.",
        source="004 §5.2; Kostrikov et al. (2022), section 4.4",
        check=_implicit,
    ),
    Theorem(
        name="implicit Q-learning, one network",
        statement="An expectile over s' and a' together exceeds Q*; over a' alone it does not.",
        source="004 §5.2; Kostrikov et al. (2022), section 4.2",
        check=_one_network,
    ),
    Theorem(
        name="regularised improvement",
        statement="π_β exp(A/τ)/Z maximises E_π A − τ KL(π‖π_β), and improves on π_β.",
        source="004 §5.2; Peng et al. (2019), section 3; Nair et al. (2020), section 4",
        check=_weighted,
    ),
    Theorem(
        name="advantage-weighted regression",
        statement="The same policy maximises E_β[exp(A/τ) log π].",
        source="004 §5.2, whose algorithm descends this objective; Peng et al. (2019)",
        check=_regression,
    ),
)
