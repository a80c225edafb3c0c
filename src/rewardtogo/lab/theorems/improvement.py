"""Greedy policies: what they improve, and where improvement ends."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import action_values, expected_return, state_values
from ...tabular.mdp import tabular_mdp
from .cases import (
    Case,
    best_values,
    draws_of,
    enumerated_values,
    greedy,
    look,
    random_case,
    summed_advantages,
    summed_values,
)
from .theorem import Sides, Theorem, at_most, equal, less


def _greedy_improves(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    before = summed_values(case, case.policy)
    after = state_values(case.mdp, greedy(action_values(case.mdp, case.policy)))
    best = best_values(case)
    optimal = greedy(look(case, best))
    again = greedy(action_values(case.mdp, optimal))
    return [
        at_most("V_π ≤ V of greedy on q_π", before, after),
        less("... and somewhere <, π not being optimal", 0.0, np.max(after - before)),
        equal("V of greedy on q*", state_values(case.mdp, again), best),
    ]


def _nonnegative_advantage(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    # Half of π moves to actions no worse than π itself: Σ_a π'(a|s) A(s,a) ≥ 0 in every state.
    advantage = summed_advantages(case, case.policy)
    shares = np.where(advantage >= 0, case.other, 0.0)
    shares = 0.5 * case.policy + 0.5 * shares / shares.sum(axis=1, keepdims=True)
    gain = state_values(case.mdp, shares) - summed_values(case, case.policy)
    return [
        at_most("0 ≤ Σ π' A_π in every state", 0.0, (shares * advantage).sum(axis=1)),
        at_most("(Σ π' A_π)(s) ≤ V_π'(s) − V_π(s)", (shares * advantage).sum(axis=1), gain),
    ]


def _one_step_too_short(draws: np.random.Generator) -> Case:
    """Ending at once pays 1; going on to the second state and ending there better pays more."""
    discount = 0.9
    later = draws.uniform(2, 3) / discount
    dynamics = np.zeros((3, 2, 3))
    dynamics[0, 0, 2] = dynamics[0, 1, 1] = dynamics[1, :, 2] = dynamics[2, :, 2] = 1
    reward = [[1.0, 0.0], [0.0, later], [0.0, 0.0]]
    mdp = tabular_mdp(dynamics, reward, [1, 0, 0], discount=discount)
    first = np.array([[1.0, 0.0]] * 3)
    return Case(mdp=mdp, policy=first, other=first, draws=draws)


def _greedy_is_not_optimal(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _one_step_too_short(draws_of(key))
    once = greedy(action_values(case.mdp, case.policy))
    twice = greedy(action_values(case.mdp, once))
    best = best_values(case)
    return [
        at_most(
            "V_π ≤ V of greedy on q_π", summed_values(case, case.policy), summed_values(case, once)
        ),
        less("V of greedy on q_π < V* at the start", state_values(case.mdp, once)[0], best[0]),
        equal("a second improvement reaches V*", state_values(case.mdp, twice), best),
    ]


def _policy_iteration(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    policies = [greedy(-look(case, best_values(case)))]
    while len(policies) < 3 or np.any(policies[-1] != policies[-2]):
        policies.append(greedy(action_values(case.mdp, policies[-1])))
    values = np.stack([state_values(case.mdp, policy) for policy in policies])
    gains = np.diff(values, axis=0)
    limit = case.reward.shape[1] ** case.reward.shape[0]
    return [
        at_most("V_{π_i} ≤ V_{π_{i+1}}", values[:-1], values[1:]),
        less("a new policy is better somewhere", 0.0, gains[:-1].max(axis=1)),
        equal("it ends at V*", values[-1], best_values(case)),
        at_most("different policies ≤ |A|^|S|", [len(policies) - 1], [limit], rounding=0.0),
    ]


def _deterministic_suffices(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    policies, values = enumerated_values(case.dynamics, case.reward, case.discount)
    best = values.max(axis=0)
    winner = int(np.argmax(values.sum(axis=1)))
    stochastic = case.draws.dirichlet(np.ones(case.reward.shape[1]), (50, len(best)))
    near = 0.99 * policies[winner] + 0.01 * stochastic
    rivals = [state_values(case.mdp, policy) for policy in (*stochastic[:10], *near[:10])]
    return [
        at_most("V of stochastic policies ≤ V of the best deterministic one", rivals, best),
        equal("one policy is best from every state", values[winner], best),
        at_most(
            "J ≤ J*",
            expected_return(case.mdp, case.policy),
            expected_return(case.mdp, policies[winner]),
        ),
    ]


THEOREMS = (
    Theorem(
        name="policy improvement",
        statement="Greedy on q_π is no worse anywhere, and better somewhere unless π is optimal.",
        source="004 §3.2, lemma 21; Sutton and Barto (2018), section 4.2",
        check=_greedy_improves,
    ),
    Theorem(
        name="policy improvement by advantages",
        statement="If Σ_a π'(a|s) A_π(s,a) ≥ 0 in every state, then V_π' − V_π is no less.",
        source="004 §2.9; Schulman et al. (2015), section 2",
        check=_nonnegative_advantage,
    ),
    Theorem(
        name="greedy on q_π is not optimal",
        statement="One greedy step improves any π but need not reach the optimum.",
        source="004 §1.3, eq. 1, which takes it for the optimal policy",
        check=_greedy_is_not_optimal,
    ),
    Theorem(
        name="policy iteration",
        statement="Values never fall; each new policy is better somewhere; the last is optimal.",
        source="004 §3.2, lemma 21; Puterman (1994), theorem 6.4.2",
        check=_policy_iteration,
    ),
    Theorem(
        name="deterministic policies suffice",
        statement="No stochastic policy beats the best deterministic one, from any state.",
        source="004 §1.3, lemma 4; Puterman (1994), section 6.2",
        check=_deterministic_suffices,
    ),
)
