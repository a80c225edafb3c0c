"""Bellman operators in the maximum norm."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import lookahead, policy_backup, state_values
from ...types import AnyArray
from .cases import Case, best_values, greedy, look, random_case, summed_values
from .theorem import Sides, Theorem, at_most, equal, less


def norm(values: AnyArray) -> float:
    """The largest entry in absolute value."""
    return float(np.abs(values).max())


def _backup(case: Case, values: np.ndarray) -> np.ndarray:
    return np.asarray(lookahead(case.mdp, values)).max(axis=1)


def _pairs(case: Case, count: int = 20) -> np.ndarray:
    """Random values, `[2, count, states]`, at distances of many sizes."""
    sizes = 10 ** case.draws.uniform(-2, 2, (count, 1))
    return sizes * case.draws.normal(size=(2, count, len(case.start)))


def _evaluation_contracts(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    left, right = _pairs(case)
    backed = [
        norm(policy_backup(case.mdp, case.policy, v) - policy_backup(case.mdp, case.policy, w))
        for v, w in zip(left, right, strict=True)
    ]
    shift = case.draws.normal()
    shifted = policy_backup(case.mdp, case.policy, left[0] + shift)
    return [
        at_most("‖B_πV − B_πW‖ ≤ γ‖V − W‖", backed, case.discount * np.abs(left - right).max(1)),
        equal(
            "B_π(V + c) = B_πV + γc",
            shifted,
            (case.policy * look(case, left[0])).sum(axis=1) + case.discount * shift,
        ),
    ]


def _optimality_contracts(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    left, right = _pairs(case)
    backed = [norm(_backup(case, v) - _backup(case, w)) for v, w in zip(left, right, strict=True)]
    shift = case.draws.normal()
    lower = left[0] - np.abs(right[0])
    return [
        at_most("‖BV − BW‖ ≤ γ‖V − W‖", backed, case.discount * np.abs(left - right).max(1)),
        equal(
            "B(V + c) = BV + γc",
            _backup(case, left[0] + shift),
            look(case, left[0]).max(axis=1) + case.discount * shift,
        ),
        at_most("W ≤ V gives BW ≤ BV", _backup(case, lower), look(case, left[0]).max(axis=1)),
        equal(
            "B_πV = BV for π greedy on V",
            policy_backup(case.mdp, greedy(look(case, left[0])), left[0]),
            _backup(case, left[0]),
        ),
    ]


def _undiscounted(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, discount=1.0)
    left, right = _pairs(case)
    backed = [norm(_backup(case, v) - _backup(case, w)) for v, w in zip(left, right, strict=True)]
    shift = case.draws.uniform(0.5, 2)
    sweeps = [left[0], left[0] + shift]
    for _ in range(10):
        sweeps = [_backup(case, values) for values in sweeps]
    apart = np.abs(sweeps[1] - sweeps[0])
    return [
        at_most("‖BV − BW‖ ≤ ‖V − W‖", backed, np.abs(left - right).max(1)),
        equal("ten sweeps keep a constant shift whole", apart, [shift]),
        less("so that no factor below 1 will do", [0.999 * shift], apart),
    ]


def _convergence(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    start = _pairs(case)[0][0]
    truth, best = summed_values(case, case.policy), best_values(case)
    # Terminal states are given 0 at the start; a sweep would only discount another value there.
    values = iterates = np.where(case.live, start, 0.0)
    errors, bounds = [], []
    first = [norm(values - truth), norm(iterates - best)]
    for sweep in range(1, 40):
        values = policy_backup(case.mdp, case.policy, values)
        iterates = _backup(case, iterates)
        errors.append([norm(values - truth), norm(iterates - best)])
        bounds.append([case.discount**sweep * error for error in first])
    return [
        at_most("‖B_πⁿV − V_π‖ ≤ γⁿ‖V − V_π‖", np.array(errors)[:, 0], np.array(bounds)[:, 0]),
        at_most("‖BⁿV − V*‖ ≤ γⁿ‖V − V*‖", np.array(errors)[:, 1], np.array(bounds)[:, 1]),
        equal("V_π is B_π's fixed point", policy_backup(case.mdp, case.policy, truth), truth),
        equal("V* is B's fixed point", _backup(case, best), best),
        equal("V_π by the linear solve", state_values(case.mdp, case.policy), truth),
    ]


THEOREMS = (
    Theorem(
        name="evaluation is a contraction",
        statement="‖B_πV − B_πW‖ ≤ γ‖V − W‖, with equality for a constant shift.",
        source="004 §3.1, lemma 19; Puterman (1994), proposition 6.2.4",
        check=_evaluation_contracts,
    ),
    Theorem(
        name="optimality backup is a contraction",
        statement="‖BV − BW‖ ≤ γ‖V − W‖, with equality for a constant shift; B is monotone.",
        source="004 §3.3, lemma 22; Puterman (1994), proposition 6.2.4",
        check=_optimality_contracts,
    ),
    Theorem(
        name="no contraction without discount",
        statement="At γ = 1 B is non-expansive only, whatever the number of sweeps.",
        source="004 §3.1 and §3.3, lemmas 19 and 22, which admit finite horizons",
        check=_undiscounted,
    ),
    Theorem(
        name="convergence of the backups",
        statement="B_πⁿV → V_π and BⁿV → V*, the errors shrinking by γ a sweep.",
        source="004 §3.1 and §3.3, propositions 20 and 23; Puterman (1994), theorem 6.3.1",
        check=_convergence,
    ),
)
