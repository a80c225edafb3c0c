"""What the return of one policy says about another's: differences, surrogates, shaping."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import advantages, expected_return, state_values
from ...tabular.exact.gradient import gradient_by_autodiff
from ...tabular.exact.natural import natural_gradient
from ...tabular.exact.occupancy import occupancy, visitation
from ...tabular.exact.trust_region import surrogate
from ...tabular.mdp import tabular_mdp
from .cases import (
    Case,
    best_values,
    chain,
    complex_gradient,
    divergence,
    enumerated_values,
    random_case,
    softmax,
    summed_advantages,
    summed_occupancy,
    summed_values,
)
from .theorem import Sides, Theorem, equal, unequal


def surrogate_gain(case: Case, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    r"""$L_\pi(\pi') - J(\pi) = \sum_s p^\pi(s) \sum_a \pi'(a|s) A_\pi(s,a)$, by sums."""
    gain = summed_occupancy(case, old)[:, None] * new * summed_advantages(case, old)
    return np.asarray(gain.sum())


def _performance_difference(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    old, new = case.policy, case.other
    gain = expected_return(case.mdp, new) - expected_return(case.mdp, old)
    advantage = summed_advantages(case, old)
    improper = np.sum(summed_occupancy(case, new)[:, None] * new * advantage)
    mean = np.sum(visitation(case.mdp, new)[:, None] * new * advantage) / (1 - case.discount)
    everywhere = np.linalg.solve(
        np.eye(case.reward.shape[0]) - case.discount * chain(case, new),
        (new * advantages(case.mdp, old)).sum(axis=1),
    )
    return [
        equal("J(π') − J(π) = Σ p^π' Σ π' A_π", gain, improper),
        equal("J(π') − J(π) = E[A_π] over d^π' and π', over 1−γ", gain, mean),
        equal(
            "V^π'(s) − V^π(s) from every state",
            state_values(case.mdp, new) - summed_values(case, old),
            everywhere,
        ),
    ]


def _swapped(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    gain = expected_return(case.mdp, case.other) - expected_return(case.mdp, case.policy)
    return [
        unequal(
            "J(π') − J(π) against Σ p^π Σ π' A_π",
            gain,
            surrogate_gain(case, case.policy, case.other),
        ),
        unequal(
            "J(π') − J(π) against −Σ p^π' Σ π A_π'",
            gain,
            -np.sum(
                occupancy(case.mdp, case.other)[:, None]
                * case.policy
                * advantages(case.mdp, case.other)
            ),
        ),
    ]


def _first_order(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    here, there = np.log(case.policy), np.log(case.other)
    gain = lambda logits: surrogate_gain(case, case.policy, softmax(logits))
    true = gradient_by_autodiff(case.mdp, lambda logits: jax.nn.softmax(logits), here)
    away = gradient_by_autodiff(case.mdp, lambda logits: jax.nn.softmax(logits), there)
    return [
        equal(
            "L_π(π') as computed",
            surrogate(case.mdp, case.policy, case.other),
            expected_return(case.mdp, case.policy) + gain(there),
        ),
        equal("L_π(π) − J(π) = 0", gain(here), 0.0),
        equal("∇L_π = ∇J at π", complex_gradient(gain, here), true),
        unequal("∇L_π against ∇J at another policy", complex_gradient(gain, there), away),
    ]


def _second_order(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    curvature = []
    for step in (1e-5, 5e-6):
        near = (1 - step) * case.policy + step * case.other
        gain = expected_return(case.mdp, near) - expected_return(case.mdp, case.policy)
        curvature.append((gain - surrogate_gain(case, case.policy, near)) / step**2)
    return [
        equal("(J − L)/ε² at ε and at ε/2", curvature[0], curvature[1], tolerance=1e-2),
        unequal("(J − L)/ε² against 0", curvature[0], 0.0, margin=1e-5),
    ]


def _natural_gradient(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, ends=False)
    logits, weight = np.log(case.policy), visitation(case.mdp, case.policy)
    fisher = np.zeros((logits.size, logits.size))
    for s, a in np.ndindex(logits.shape):
        score = np.zeros_like(logits)
        score[s] = np.eye(logits.shape[1])[a] - case.policy[s]
        fisher += weight[s] * case.policy[s, a] * np.outer(score, score)
    policy = lambda logits: jax.nn.softmax(logits)
    gradient = gradient_by_autodiff(case.mdp, policy, logits)
    plain = (np.linalg.pinv(fisher, rcond=1e-10) @ gradient.ravel()).reshape(logits.shape)
    natural = natural_gradient(case.mdp, policy, logits)
    advantage = summed_advantages(case, case.policy)
    step = 1e-4 * case.draws.normal(size=logits.shape)
    moved = weight @ divergence(case.policy, softmax(logits + step))
    length = step.ravel() @ fisher @ step.ravel()
    return [
        equal("F⁺∇J, F summed score by score", natural, plain, tolerance=1e-7),
        equal(
            "F⁺∇J = (A − mean of A over actions) / (1−γ)",
            natural,
            (advantage - advantage.mean(axis=1, keepdims=True)) / (1 - case.discount),
            tolerance=1e-7,
        ),
        equal("KL / ΔᵀFΔ → ½", moved / length, [0.5], tolerance=1e-3),
    ]


def _shaping(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    potential = np.where(case.live, case.draws.normal(size=case.live.shape), 0.0)
    extra = case.discount * potential - potential[:, None, None]
    undiscounted = potential - potential[:, None, None]
    shaped, wrong = (
        tabular_mdp(
            case.dynamics,
            case.reward[:, :, None] + bonus,
            case.start,
            discount=case.discount,
            terminal=~case.live,
        )
        for bonus in (extra, undiscounted)
    )
    values = summed_values(case, case.policy)
    _, shaped_values = enumerated_values(
        np.asarray(shaped.transition), np.asarray(shaped.reward), case.discount
    )
    _, all_values = enumerated_values(case.dynamics, case.reward, case.discount)
    return [
        equal("V' = V − Φ", state_values(shaped, case.policy), values - potential),
        equal(
            "A' = A",
            advantages(shaped, case.policy),
            summed_advantages(case, case.policy) * case.live[:, None],
        ),
        equal("V'* = V* − Φ", shaped_values.max(axis=0), best_values(case) - potential),
        equal(
            "every policy keeps its distance to the best",
            shaped_values.max(axis=0) - shaped_values,
            all_values.max(axis=0) - all_values,
        ),
        unequal("V' with Φ(s') − Φ(s)", state_values(wrong, case.policy), values - potential),
    ]


THEOREMS = (
    Theorem(
        name="performance difference",
        statement="J(π') − J(π) = Σ_s p^π'(s) Σ_a π'(a|s) A_π(s,a).",
        source="004 §2.7 and §2.9; Kakade and Langford (2002), lemma 6.1",
        check=_performance_difference,
    ),
    Theorem(
        name="performance difference, swapped",
        statement="With p^π in place of p^π' it fails, seen from either policy.",
        source="004 §2.9, whose surrogate is the swapped form",
        check=_swapped,
    ),
    Theorem(
        name="surrogate, first order",
        statement="L_π(π) = J(π), and ∇L_π = ∇J at π only.",
        source="004 §2.9; Schulman et al. (2015), eq. 4",
        check=_first_order,
    ),
    Theorem(
        name="surrogate, second order",
        statement="J − L_π shrinks as the square of the step, and is not zero.",
        source="004 §2.9; Kakade and Langford (2002), theorem 4.1",
        check=_second_order,
    ),
    Theorem(
        name="natural gradient",
        statement="F⁺∇J = (A − mean_a A)/(1−γ) for a tabular softmax, F over d^π; KL → ½ΔᵀFΔ.",
        source="004 §2.8 with its missing ½; Kakade (2002), theorem 1",
        check=_natural_gradient,
    ),
    Theorem(
        name="potential shaping",
        statement="The bonus γΦ(s') − Φ(s) gives V' = V − Φ and A' = A, so the same best policies.",
        source="Ng, Harada and Russell (1999), theorem 1",
        check=_shaping,
    ),
)
