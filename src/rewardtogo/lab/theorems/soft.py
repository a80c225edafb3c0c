r"""Maximum-entropy reinforcement learning at a temperature $\tau \ne 1$.

$q_\pi(s,a) = r + \gamma E v_\pi(s')$ leaves out the entropy of the action itself, as soft
actor–critic does; the $Q_\pi$ of `000` holds $-\tau\log\pi(a|s)$ too.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import action_values
from ...tabular.exact.occupancy import visitation
from ...tabular.mdp import tabular_mdp
from ...tabular.solvers.soft import (
    gibbs_policy,
    soft_action_values,
    soft_backup,
    soft_state_values,
    soft_value_iteration,
)
from ...types import AnyArray
from .cases import (
    Case,
    best_values,
    divergence,
    horizon_of,
    look,
    random_case,
    softmax,
    summed_occupancy,
    summed_values,
)
from .contraction import norm
from .theorem import Sides, Theorem, at_most, equal, less, unequal


# None is 1 or a discount of `cases`, for which it might be mistaken.
TEMPERATURES = (0.2, 0.6, 2.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Soft:
    """A case and its soft optimum, by plain iteration."""

    case: Case
    temperature: float
    values: np.ndarray
    policy: np.ndarray


def _log_sum_exp(case: Case, q: AnyArray, temperature: float) -> np.ndarray:
    top = q.max(axis=1)
    total = np.exp((q - top[:, None]) / temperature).sum(axis=1)
    return np.where(case.live, top + temperature * np.log(total), 0.0)


def _entropy(policy: np.ndarray) -> np.ndarray:
    return -(policy * np.log(policy)).sum(axis=1)


def _plain_values(soft: _Soft, policy: np.ndarray) -> np.ndarray:
    return summed_values(soft.case, policy, soft.temperature * _entropy(policy))


def _random_soft(key: PRNGKeyArray) -> _Soft:
    case = random_case(key)
    temperature = float(case.draws.choice(TEMPERATURES))
    values = np.zeros(len(case.start))
    for _ in range(horizon_of(case.discount)):
        values = _log_sum_exp(case, look(case, values), temperature)
    policy = softmax(look(case, values) / temperature)
    return _Soft(case=case, temperature=temperature, values=values, policy=policy)


def _optimum(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    solution = soft_value_iteration(case.mdp, temperature=temperature, tolerance=1e-11)
    q = look(case, soft.values)
    rivals = [case.policy, case.other, 0.99 * soft.policy + 0.01 * case.other]
    others = [soft_state_values(case.mdp, pi, temperature=temperature) for pi in rivals]
    own = soft_state_values(case.mdp, soft.policy, temperature=temperature)
    chosen = (soft.policy * (q - temperature * np.log(soft.policy))).sum(axis=1)
    return [
        equal("v* = τ log Σ exp(q*/τ)", solution.values, soft.values),
        equal("v of the Gibbs policy = v*", own, soft.values),
        equal("E[q* − τ log π*] = v*", chosen[case.live], soft.values[case.live]),
        at_most("v_π ≤ v*", others, soft.values),
    ]


def _pointwise(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature, live = soft.case, soft.temperature, soft.case.live
    policy = gibbs_policy(look(case, soft.values), temperature=temperature)
    right = soft.values[:, None] - case.discount * case.dynamics @ soft.values
    own = soft_state_values(case.mdp, case.policy, temperature=temperature)
    own_right = own[:, None] - case.discount * case.dynamics @ own
    swapped = soft.values[:, None] - temperature * case.dynamics @ soft.values
    earned = case.reward - temperature * np.log(policy)
    return [
        equal("r − τ log π* = v* − γE v*", earned[live], right[live]),
        unequal(
            "another policy: r − τ log π against v_π − γE v_π",
            (case.reward - temperature * np.log(case.policy))[live],
            own_right[live],
        ),
        unequal("τ in place of γ: v* − τE v*", earned[live], swapped[live]),
    ]


def _integrated(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    weights = [
        np.where(case.live, visitation(case.mdp, rho), 0.0)[:, None] * rho
        for rho in (soft.policy, case.policy, case.other)
    ]
    earned = case.reward - temperature * np.log(soft.policy)
    means = [np.sum(weight * earned) for weight in weights]
    own = case.reward - temperature * np.log(case.policy)
    rest = 1 - case.discount
    return [
        equal("E[r − τ log π*] over any d^ρ = (1−γ)E v*", means, rest * case.start @ soft.values),
        equal(
            "E[r − τ log π] over d^π = (1−γ)E v_π",
            np.sum(weights[1] * own),
            rest * case.start @ _plain_values(soft, case.policy),
        ),
        unequal(
            "E[r − τ log π] over d^ρ against (1−γ)E v_π",
            np.sum(weights[2] * own),
            rest * case.start @ _plain_values(soft, case.policy),
        ),
    ]


def _improvement(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    policy, before = case.policy, look(case, _plain_values(soft, case.policy))
    first = before
    for _ in range(100):
        policy = gibbs_policy(before, temperature=temperature)
        after = soft_action_values(case.mdp, policy, temperature=temperature)
        if norm(after - before) < 1e-13:
            break
        before = after
    once = gibbs_policy(first, temperature=temperature)
    improved = soft_action_values(case.mdp, once, temperature=temperature)
    cold = softmax(first)
    reached = (cold * first).sum(axis=1) + temperature * _entropy(cold)
    return [
        at_most("q_π ≤ q of exp(q_π/τ)/Z", first, improved),
        less("... and somewhere <", 0.0, np.max(improved - first)),
        equal("repeated: v*", _log_sum_exp(case, before, temperature), soft.values),
        less(
            "exp(q_π) without τ gains less at once",
            np.max((reached - _log_sum_exp(case, first, temperature))[case.live]),
            0.0,
        ),
    ]


def _not_strict(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, ends=False)
    dynamics = case.dynamics.copy()
    # No state leads back to the first one, so nothing that is done later depends on it.
    dynamics[:, :, 1] += dynamics[:, :, 0]
    dynamics[:, :, 0] = 0
    mdp = tabular_mdp(dynamics, case.reward, case.start, discount=case.discount)
    best = soft_value_iteration(mdp, temperature=0.5, tolerance=1e-11)
    changed = np.array(best.policy)
    changed[0] = case.policy[0]
    return [
        unequal("π against π*", changed, best.policy),
        equal(
            "Q_π = Q_π* everywhere",
            soft_action_values(mdp, changed, temperature=0.5),
            best.action_values,
        ),
    ]


def _difference(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    old, new = case.policy, case.other
    values = _plain_values(soft, old)
    q = look(case, values)
    gain = case.start @ (
        soft_state_values(case.mdp, new, temperature=temperature)
        - soft_state_values(case.mdp, old, temperature=temperature)
    )
    occupancy = np.where(case.live, summed_occupancy(case, new), 0.0)
    advantage = (new * (q - temperature * np.log(new))).sum(axis=1) - values
    target = softmax(q / temperature)
    closer = temperature * (divergence(old, target) - divergence(new, target))
    hard = (new * (q - values[:, None])).sum(axis=1)
    return [
        equal("Σ p^π' (E_π'[q_π − τ log π'] − v_π)", gain, occupancy @ advantage),
        equal("Σ p^π' τ(KL(π‖G) − KL(π'‖G)), G ∝ exp(q_π/τ)", gain, occupancy @ closer),
        unequal("without the new policy's entropy", gain, occupancy @ hard),
    ]


def _augmented(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    entropy = np.where(case.live, temperature * _entropy(case.policy), 0.0)
    q = soft_action_values(case.mdp, case.policy, temperature=temperature)

    def ordinary(bonus: np.ndarray) -> np.ndarray:
        tables = case.dynamics, case.reward + bonus, case.start
        mdp = tabular_mdp(*tables, discount=case.discount, terminal=~case.live)
        return np.asarray(action_values(mdp, case.policy))

    following = case.dynamics @ entropy
    return [
        equal("q_π = Q of r + γτE H(π(s'))", q, ordinary(case.discount * following)),
        unequal("Q of r + τE H(π(s')), without γ", q, ordinary(following)),
        unequal(
            "Q of r + γE H(π(s')), without τ",
            q,
            ordinary(case.discount * following / temperature),
        ),
        equal(
            "Q of r + τH(π(s)) is q_π + τH(π(s))",
            ordinary(np.broadcast_to(entropy[:, None], q.shape)),
            q + entropy[:, None],
        ),
    ]


def _operator(key: PRNGKeyArray) -> Sequence[Sides]:
    soft = _random_soft(key)
    case, temperature = soft.case, soft.temperature
    backup = lambda values: soft_backup(case.mdp, values, temperature=temperature)
    left, right = 3 * case.draws.normal(size=(2, 20, len(case.start)))
    backed = [norm(backup(v) - backup(w)) for v, w in zip(left, right, strict=True)]
    shifted = _log_sum_exp(case, look(case, left[0] + 1.5), temperature)
    best = best_values(case)
    bonus = temperature * np.log(case.reward.shape[1]) / (1 - case.discount)
    return [
        at_most("‖BV − BW‖ ≤ γ‖V − W‖", backed, case.discount * np.abs(left - right).max(1)),
        equal(
            "B(V + c) = BV + γc",
            shifted[case.live],
            (backup(left[0]) + 1.5 * case.discount)[case.live],
        ),
        at_most("V* ≤ v*", best, soft.values),
        at_most("v* ≤ V* + τ log|A|/(1−γ)", soft.values, best + bonus),
    ]


THEOREMS = (
    Theorem(
        name="soft optimum",
        statement="v* = τ log Σ_a exp(q*(s,a)/τ) is the value of π* ∝ exp(q*/τ) and the largest.",
        source="000, soft Bellman optimality; 004 §2.11, whose τ is lost after eq. 15",
        check=_optimum,
    ),
    Theorem(
        name="soft identity, pointwise",
        statement="r − τ log π = v − γE v' for every action, at the optimum only.",
        source="000, soft Bellman optimality, part 1; Nachum et al. (2017), theorem 1",
        check=_pointwise,
    ),
    Theorem(
        name="soft identity, integrated",
        statement="E[r − τ log π*] = (1−γ)E v*(s₀) over the visitation of any policy.",
        source="000, soft Bellman optimality, part 2",
        check=_integrated,
    ),
    Theorem(
        name="soft policy improvement",
        statement="π' ∝ exp(q_π/τ) has q_π' ≥ q_π everywhere, and repeated it ends at the optimum.",
        source="004 §2.11, lemma 17 and theorem 18; Haarnoja et al. (2018), lemma 2, theorem 1",
        check=_improvement,
    ),
    Theorem(
        name="soft optimality is not strict",
        statement="A policy other than π* may have Q_π = Q_π* everywhere.",
        source="004 §2.11, theorem 18, whose last inequality is strict",
        check=_not_strict,
    ),
    Theorem(
        name="soft performance difference",
        statement="J(π') − J(π) = Σ_s p^π'(s) (E_π'[q_π − τ log π'] − v_π(s)).",
        source="004 §2.7 and §2.11, combined",
        check=_difference,
    ),
    Theorem(
        name="entropy-augmented reward",
        statement="q_π is the ordinary Q of the reward r + γτE H(π(s')).",
        source="004 §2.11, proof of lemma 16, without the γ; Haarnoja et al. (2018), lemma 1",
        check=_augmented,
    ),
    Theorem(
        name="soft backup",
        statement="A γ-contraction, attained by a shift; V* ≤ v* ≤ V* + τ log|A|/(1−γ).",
        source="004 §2.11, lemma 16; Haarnoja et al. (2017), theorem 2",
        check=_operator,
    ),
)
