"""Values that are linear in features: where learning them ends, and whether it ends at all."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.problems.counterexamples import BAIRD_BEHAVIOUR, BAIRD_FEATURES, BAIRD_TARGET, baird
from ...td.off_policy.exact import FeatureMoments, OffPolicyCase, moments
from ...td.values.fixed_points import monte_carlo_projection, td_fixed_point
from .cases import Case, chain, draws_of, random_case, summed_values
from .theorem import Sides, Theorem, at_most, equal, less, unequal


FEATURES = 2


def _shares(case: Case, policy: np.ndarray) -> np.ndarray:
    """How often each state is met, an end being followed by a beginning: by averaging its chain."""
    onward = np.where(case.live, chain(case, policy), 0)
    onward = onward + np.outer(1 - onward.sum(axis=1), case.start)
    lazy = np.linalg.matrix_power((onward + np.eye(len(onward))) / 2, 2**12)
    return case.start @ lazy


def _features(case: Case) -> np.ndarray:
    return np.where(case.live[:, None], case.draws.normal(size=(len(case.start), FEATURES)), 0)


def _fixed_points(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    x, share, truth = _features(case), _shares(case, case.policy), summed_values(case, case.policy)
    td = x @ td_fixed_point(case.mdp, case.policy, x)
    best = x @ monte_carlo_projection(case.mdp, case.policy, x)
    weigh = np.sqrt(share)[:, None]
    onto = x @ np.linalg.pinv(weigh * x) * weigh.T
    backed = np.where(case.live, (case.policy * case.reward).sum(axis=1), 0)
    backed = backed + case.discount * chain(case, case.policy) @ td
    errors = [share @ (values - truth) ** 2 for values in (td, best)]
    table = np.diag(case.live.astype(float))
    return [
        equal("Xw_TD = Π B_π Xw_TD", td, onto @ backed),
        equal("Xw_MC = Π V", best, onto @ truth),
        unequal("Xw_TD ≠ Xw_MC", td, best),
        at_most("VE(w_MC) ≤ VE(w_TD)", errors[1], errors[0]),
        at_most("VE(w_TD) ≤ VE(w_MC)/(1−γ²)", errors[0], errors[1] / (1 - case.discount**2)),
        at_most("VE(w_TD) ≤ VE(w_MC)/(1−γ)", errors[0], errors[1] / (1 - case.discount)),
        equal("a feature a state: w_TD = V", td_fixed_point(case.mdp, case.policy, table), truth),
        equal("and w_MC = V", monte_carlo_projection(case.mdp, case.policy, table), truth),
    ]


def _least(matrix: np.ndarray) -> float:
    """Of the symmetric part: below 0 where the matrix is not positive semi-definite."""
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[0])


def _in_mean(case: Case, x: np.ndarray, behaviour: np.ndarray) -> FeatureMoments:
    return moments(OffPolicyCase(mdp=case.mdp, features=x, target=case.policy, behaviour=behaviour))


def _stability(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    on = _in_mean(case, _features(case), case.policy)
    small = 0.5 / np.linalg.norm(on.a, 2) ** 2 * _least(on.a)
    off = _baird()
    widest = np.abs(np.linalg.eigvals(np.eye(8) - 0.01 * off.a)).max()
    return [
        at_most(
            "(1−γ) λ_min(C) ≤ λ_min((A + Aᵀ)/2)", (1 - case.discount) * _least(on.c), _least(on.a)
        ),
        less("0 < λ_min(C)", 0, _least(on.c)),
        less(
            "so that ‖I − αA‖ < 1 for small α",
            np.linalg.norm(np.eye(FEATURES) - small * on.a, 2),
            1,
        ),
        less("Baird: λ_min((A + Aᵀ)/2) < 0", _least(off.a), 0),
        less("Baird: an eigenvalue of A is below 0", np.real(np.linalg.eigvals(off.a)).min(), 0),
        less("so that 1 < ϱ(I − αA), at α = 0.01", 1, widest),
    ]


def _baird() -> FeatureMoments:
    return moments(
        OffPolicyCase(
            mdp=baird().mdp,
            features=BAIRD_FEATURES,
            target=BAIRD_TARGET,
            behaviour=BAIRD_BEHAVIOUR,
        )
    )


def _emphasis(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    x = _features(case)
    off = _in_mean(case, x, case.other)
    dynamics = case.discount * np.where(case.live, chain(case, case.policy), 0)
    share = term = _shares(case, case.other)
    emphasis = np.zeros_like(share)
    while term.max() > 1e-18:
        emphasis, term = emphasis + term, term @ dynamics
    weighed = lambda moments, dynamics: (
        (moments.features.T * moments.followon * moments.weighting)
        @ (moments.features - dynamics @ moments.features)
    )
    counter = _baird()
    return [
        equal("f = Σ_k (γP_πᵀ)^k d", off.followon * off.weighting, emphasis),
        at_most("0 ≤ λ_min((A_f + A_fᵀ)/2)", 0, _least(weighed(off, dynamics))),
        less("Baird, unweighted: below 0", _least(counter.a), 0),
        at_most("Baird, weighted: not", 0, _least(weighed(counter, 0.99 * np.eye(7)[[6] * 7]))),
    ]


def _doubling(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    ends = draws.uniform(0.01, 0.23)
    critical = 5 / (6 - 4 * ends)
    weights = {}
    for discount in (critical - 0.01, critical + 0.01):
        weight = 1.0
        for _ in range(2000):
            # From w the next state is worth 2w; from 2w too, unless the process ends.
            target = discount * 2 * weight * np.array([1, 1 - ends])
            weight = np.linalg.lstsq(np.array([[1.0], [2.0]]), target)[0][0]
        weights[discount] = weight
    below, above = weights.items()
    factor = lambda discount: (discount * (6 - 4 * ends) / 5) ** 2000
    return [
        less("γ < 5/(6−4ε): w shrinks", below[1], 1e-4),
        less("γ > 5/(6−4ε): w grows", 1e4, above[1]),
        equal("w_2000 = (γ(6−4ε)/5)^2000, below", below[1], factor(below[0])),
        equal("above", np.log(above[1]), np.log(factor(above[0]))),
    ]


THEOREMS = (
    Theorem(
        name="linear TD and Monte Carlo",
        statement="VE(w_TD) ≤ VE(w_MC)/(1−γ²) ≤ VE(w_MC)/(1−γ); w_TD ≠ w_MC unless V is linear.",
        source="Tsitsiklis and Van Roy (1997), theorem 1; Sutton and Barto (2018), eq. 9.14",
        check=_fixed_points,
    ),
    Theorem(
        name="stability of linear TD",
        statement="On-policy A is positive definite and TD converges; off-policy it may not be.",
        source="Sutton and Barto (2018), sections 9.4 and 11.2; Baird (1995)",
        check=_stability,
    ),
    Theorem(
        name="emphasis",
        statement="Off-policy, weighing states by f = d + γP_πᵀf makes A positive semi-definite.",
        source="Sutton, Mahmood and White (2016), theorem 1",
        check=_emphasis,
    ),
    Theorem(
        name="w and 2w",
        statement="Least squares on bootstrapped targets diverges just where γ > 5/(6−4ε).",
        source="Tsitsiklis and Van Roy (1996); Sutton and Barto (2018), example 11.1",
        check=_doubling,
    ),
)
