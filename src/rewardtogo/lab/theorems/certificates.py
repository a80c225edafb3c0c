"""What the last sweep says about the distance to the truth; ε = ‖BV − V‖."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import lookahead, policy_backup, state_values
from ...tabular.mdp import TabularMDP, tabular_mdp
from .cases import (
    Case,
    best_values,
    deterministic_policies,
    draws_of,
    greedy,
    look,
    random_case,
    summed_values,
)
from .contraction import norm
from .theorem import Sides, Theorem, at_most, equal


def _guesses(case: Case, truth: np.ndarray, count: int = 10) -> np.ndarray:
    """Values around the truth, near and far; the truth itself in terminal states."""
    sizes = 10 ** case.draws.uniform(-2, 1, (count, 1))
    noise = sizes * case.draws.normal(size=(count, len(truth)))
    return truth + np.where(case.live, noise, 0.0)


def _value_errors(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, ends=False)
    best, rest = best_values(case), 1 - case.discount
    guesses = _guesses(case, best)
    backed = np.stack([lookahead(case.mdp, values).max(axis=1) for values in guesses])
    residual = np.abs(backed - guesses).max(axis=1)
    shifted = best + 1.5
    shift_residual = np.abs(lookahead(case.mdp, shifted).max(axis=1) - shifted).max()
    return [
        at_most("‖V − V*‖ ≤ ε/(1−γ)", np.abs(guesses - best).max(axis=1), residual / rest),
        at_most(
            "‖BV − V*‖ ≤ γε/(1−γ)",
            np.abs(backed - best).max(axis=1),
            case.discount * residual / rest,
        ),
        equal("both attained by V* + c", np.abs(shifted - best).max(), shift_residual / rest),
    ]


def _evaluation_errors(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    truth, rest = summed_values(case, case.policy), 1 - case.discount
    guesses = _guesses(case, truth)
    backed = np.stack([policy_backup(case.mdp, case.policy, values) for values in guesses])
    residual = np.abs(backed - guesses).max(axis=1)
    return [
        at_most("‖V − V_π‖ ≤ ‖B_πV − V‖/(1−γ)", np.abs(guesses - truth).max(1), residual / rest),
        at_most(
            "‖B_πV − V_π‖ ≤ γ‖B_πV − V‖/(1−γ)",
            np.abs(backed - truth).max(axis=1),
            case.discount * residual / rest,
        ),
    ]


def _greedy_loss(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    best, scale = best_values(case), case.discount / (1 - case.discount)
    guesses = _guesses(case, best)
    looks = [look(case, values) for values in guesses]
    change = np.stack([q.max(axis=1) for q in looks]) - guesses
    losses = [norm(best - state_values(case.mdp, greedy(q))) for q in looks]
    span = change.max(axis=1) - change.min(axis=1)
    residual = np.abs(change).max(axis=1)
    return [
        at_most("max(V* − V_π) ≤ γ span(BV − V)/(1−γ)", losses, scale * span),
        at_most("... ≤ 2γε/(1−γ)", scale * span, 2 * scale * residual),
        at_most("... ≤ 2ε/(1−γ)", 2 * scale * residual, 2 * residual / (1 - case.discount)),
    ]


def _two_states(bonus: float, residual: float, discount: float) -> TabularMDP:
    """Stay in the first state for −γε a step, or go for nothing to one that pays `bonus`."""
    dynamics = np.zeros((2, 2, 2))
    dynamics[0, 0, 0] = dynamics[0, 1, 1] = 1
    dynamics[1, :, 1] = 1
    reward = [[-discount * residual, 0.0], [bonus, bonus]]
    return tabular_mdp(dynamics, reward, [1, 0], discount=discount, terminal=[False, False])


def _worst_case(mdp: TabularMDP, values: np.ndarray, bound: float) -> Sequence[Sides]:
    q = np.asarray(lookahead(mdp, values))
    best = np.max([state_values(mdp, policy) for policy in deterministic_policies(2, 2)], axis=0)
    stay = np.array([[1.0, 0.0]] * 2)
    return [
        equal("both actions are greedy", q[0, 0], q[0, 1]),
        equal("ε", np.abs(q.max(axis=1) - values).max(), values[0]),
        equal("the loss of staying", (best - state_values(mdp, stay))[:1], [bound]),
    ]


def _attained(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    residual, discount = draws.uniform(0.1, 2), float(draws.uniform(0.3, 0.95))
    mdp = _two_states(residual, residual, discount)
    values = np.array([residual, 0.0])
    return _worst_case(mdp, values, 2 * discount * residual / (1 - discount))


def _from_above(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    best, scale = best_values(case), case.discount / (1 - case.discount)
    guesses = best + np.abs(_guesses(case, best) - best)
    looks = [look(case, values) for values in guesses]
    losses = [norm(best - state_values(case.mdp, greedy(q))) for q in looks]
    residual = [norm(q.max(axis=1) - v) for q, v in zip(looks, guesses, strict=True)]
    draws = case.draws
    size, discount = draws.uniform(0.1, 2), float(draws.uniform(0.3, 0.95))
    tight = _worst_case(
        _two_states(0.0, size, discount), np.array([size, 0.0]), discount * size / (1 - discount)
    )
    return [
        at_most("max(V* − V_π) ≤ γε/(1−γ) where V ≥ V*", losses, scale * np.array(residual)),
        *tight,
    ]


THEOREMS = (
    Theorem(
        name="value certificate",
        statement="‖V − V*‖ ≤ ε/(1−γ) and ‖BV − V*‖ ≤ γε/(1−γ).",
        source="004 §3.4, proposition 24; Puterman (1994), theorem 6.3.1",
        check=_value_errors,
    ),
    Theorem(
        name="evaluation certificate",
        statement="‖V − V_π‖ ≤ ε/(1−γ) and ‖B_πV − V_π‖ ≤ γε/(1−γ) with ε = ‖B_πV − V‖.",
        source="004 §3.4, proposition 24",
        check=_evaluation_errors,
    ),
    Theorem(
        name="greedy loss",
        statement="max(V* − V_π) ≤ γ span(BV − V)/(1−γ) ≤ 2γε/(1−γ) for π greedy on V.",
        source="004 §3.4, propositions 25 and 27; Puterman (1994), theorem 6.6.2",
        check=_greedy_loss,
    ),
    Theorem(
        name="greedy loss, attained",
        statement="Two states lose exactly 2γε/(1−γ).",
        source="004 §3.4, proposition 27; Williams and Baird (1993)",
        check=_attained,
    ),
    Theorem(
        name="greedy loss from above",
        statement="Where V ≥ V* the loss is at most γε/(1−γ), and two states attain it.",
        source="004 §3.4, proposition 26 without its γ",
        check=_from_above,
    ),
)
