"""Two policies that mostly agree: the lemmas behind trust regions, and the bounds they give."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from ...losses.policy_gradient import clipped_surrogate
from ...tabular.exact.distances import kl_divergence, optimal_coupling, total_variation
from ...tabular.exact.evaluation import advantages, expected_return
from ...tabular.exact.trust_region import lower_bound
from ...tabular.mdp import tabular_mdp
from .cases import Case, chain, divergence, draws_of, greedy, random_case, summed_advantages
from .difference import surrogate_gain
from .theorem import Sides, Theorem, at_most, equal, less, unequal


HORIZON = 12


def _disagreement(case: Case) -> np.ndarray:
    """α: the largest probability, over live states, that maximally coupled actions differ."""
    pairs = zip(case.policy, case.other, strict=True)
    apart = np.array([1 - np.trace(optimal_coupling(p, q)) for p, q in pairs])
    return apart[case.live].max(keepdims=True)


def _close(key: PRNGKeyArray) -> Case:
    """A case whose second policy lies anywhere between near the first and far from it."""
    case = random_case(key)
    step = 10 ** case.draws.uniform(-3, 0)
    near = (1 - step) * case.policy + step * case.other
    return Case(mdp=case.mdp, policy=case.policy, other=near, draws=case.draws)


def _mean_advantage(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _close(key)
    advantage = advantages(case.mdp, case.policy)
    mean = (case.other * summed_advantages(case, case.policy)).sum(axis=1)
    joints = [optimal_coupling(p, q) for p, q in zip(case.policy, case.other, strict=True)]
    # Entry [a, a'] of a table is the probability of a from π and a' from π'.
    differences = [
        np.sum(joint * (row[None, :] - row[:, None]))
        for joint, row in zip(joints, advantage, strict=True)
    ]
    alpha = _disagreement(case)
    independent = 1 - (case.policy * case.other).sum(axis=1)
    return [
        equal("Ā(s) = E[A(s,a') − A(s,a)] over the coupling", mean, differences),
        at_most("|Ā(s)| ≤ 2α max|A|", np.abs(mean), 2 * alpha * np.abs(advantage).max()),
        less("α against P(a ≠ a') of independent draws", alpha, independent[case.live].max()),
    ]


def _over_time(case: Case, policy: np.ndarray, function: np.ndarray) -> np.ndarray:
    """The mean of a function of the state at t = 0, 1, ..., by one step after the other."""
    dynamics, states, means = chain(case, policy), case.start, []
    for _ in range(HORIZON):
        means.append(states @ function)
        states = states @ dynamics
    return np.array(means)


def _later_states(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _close(key)
    advantage = advantages(case.mdp, case.policy)
    mean = (case.other * advantage).sum(axis=1)
    gap = np.abs(_over_time(case, case.other, mean) - _over_time(case, case.policy, mean))
    alpha = _disagreement(case)
    parted = 1 - (1 - alpha) ** np.arange(HORIZON)
    middle = 2 * parted * np.abs(mean).max()
    return [
        at_most("|E_t' Ā − E_t Ā| ≤ 2(1−(1−α)^t) max|Ā|", gap, middle),
        at_most("... ≤ 4α(1−(1−α)^t) max|A|", middle, 4 * alpha * parted * np.abs(advantage).max()),
    ]


def _drift(alpha: float, gain: float, discount: float) -> Case:
    """Two states; the old policy never leaves the first, the new one does with probability α.

    Leaving pays `gain`; in the second state, which is never left, the new policy's other action
    pays −1. Everything else pays 0, and so does the old policy.
    """
    dynamics = np.zeros((2, 2, 2))
    dynamics[0, 0, 0] = dynamics[0, 1, 1] = 1
    dynamics[1, :, 1] = 1
    reward = [[0.0, gain], [0.0, -1.0]]
    mdp = tabular_mdp(dynamics, reward, [1, 0], discount=discount, terminal=[False, False])
    old, new = np.array([[1.0, 0.0]] * 2), np.array([[1 - alpha, alpha]] * 2)
    return Case(mdp=mdp, policy=old, other=new, draws=np.random.default_rng(0))


def _middle_bound(key: PRNGKeyArray) -> Sequence[Sides]:
    alpha = draws_of(key).uniform(0.05, 0.4)
    case = _drift(alpha, gain=1.0, discount=0.9)
    mean = (case.other * advantages(case.mdp, case.policy)).sum(axis=1)
    gap = np.abs(_over_time(case, case.other, mean) - _over_time(case, case.policy, mean))
    parted = 1 - (1 - alpha) ** np.arange(HORIZON)
    return [
        equal("the bound 2(1−(1−α)^t) max|Ā| is attained", gap, 2 * parted * np.abs(mean).max()),
        less("2α max|Ā| is exceeded", 2 * alpha * np.abs(mean).max(), gap[2:]),
    ]


def _bounds(key: PRNGKeyArray) -> Sequence[Sides]:
    case = _close(key)
    old, new, discount = case.policy, case.other, case.discount
    likely = expected_return(case.mdp, old) + surrogate_gain(case, old, new)
    returned = expected_return(case.mdp, new)
    bounds = lower_bound(case.mdp, old, new)
    largest = np.abs(summed_advantages(case, old)).max()
    alpha = total_variation(old, new)[case.live].max()
    scale = 4 * largest * discount / (1 - discount)
    sharp = scale * alpha**2 / (1 - discount * (1 - alpha))
    plain = scale * alpha**2 / (1 - discount)
    worst = scale / (1 - discount) * divergence(old, new)[case.live].max()
    return [
        equal("α is the disagreement of the maximal coupling", alpha, _disagreement(case)),
        at_most("|J − L| ≤ 4εγα²/((1−γ)(1−γ(1−α)))", np.abs(returned - likely), sharp),
        at_most("... ≤ 4εγα²/(1−γ)²", sharp, plain),
        equal("bounds as computed", np.array(bounds), [likely - plain, likely - worst]),
        at_most("L − 4εγ/(1−γ)² TV² ≤ J", bounds.total_variation, returned),
        at_most("... and with KL, which is lower", bounds.kl, bounds.total_variation),
    ]


def _penalty(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key)
    old, discount = case.policy, case.discount
    advantage = summed_advantages(case, old)
    target = greedy(advantage)
    scale = 4 * np.abs(advantage).max() * discount / (1 - discount) ** 2
    paths = [(1 - step) * old + step * target for step in np.geomspace(1e-8, 0.5, 40)]
    gains = [surrogate_gain(case, old, new) - scale * divergence(old, new).max() for new in paths]
    best = int(np.argmax(gains))
    gain = expected_return(case.mdp, paths[best]) - expected_return(case.mdp, old)
    return [
        less("0 < the best penalised surrogate", 0.0, gains[best], margin=0.0),
        at_most("... ≤ J(π') − J(π)", gains[best], gain, rounding=1e-12),
    ]


def _region_alone(key: PRNGKeyArray) -> Sequence[Sides]:
    alpha, discount = draws_of(key).uniform(0.01, 0.3), 0.9
    case = _drift(alpha, gain=0.5 * discount * alpha / (1 - discount), discount=discount)
    old, new = case.policy, case.other
    gain = expected_return(case.mdp, new) - expected_return(case.mdp, old)
    return [
        equal("max KL(π‖π') = −log(1−α)", kl_divergence(old, new).max(), -np.log1p(-alpha)),
        less("J(π) < L_π(π')", 0.0, surrogate_gain(case, old, new)),
        less("J(π') < J(π)", gain, 0.0),
    ]


def _clipping(key: PRNGKeyArray) -> Sequence[Sides]:
    draws, clip = draws_of(key), 0.2
    ratio = np.append(np.exp(draws.uniform(-1, 1, 50)), [0.7, 0.7, 1.3, 1.3])
    advantage = np.append(draws.normal(size=50), [1.0, -1.0, 1.0, -1.0])
    total = lambda x: clipped_surrogate(
        x, jnp.zeros_like(x), jnp.asarray(advantage), clip=clip
    ).sum()
    with jax.enable_x64(True):
        slope = -np.asarray(jax.grad(total)(jnp.log(ratio))) / ratio
    left_for_good = np.where(advantage > 0, ratio > 1 + clip, ratio < 1 - clip)
    outside = np.abs(ratio - 1) > clip
    return [
        equal("slope in ρ", slope, np.where(left_for_good, 0.0, advantage)),
        equal("A = 1, −1 at ρ = 0.7, and at ρ = 1.3", slope[-4:], [1.0, 0.0, 0.0, -1.0]),
        unequal("slope outside 1 ± ε against 0", slope[outside], 0.0),
    ]


THEOREMS = (
    Theorem(
        name="coupled actions",
        statement="|Ā(s)| ≤ 2α max|A_π| where α is the maximal coupling's P(a ≠ a').",
        source="004 §2.9, lemma 14, whose proof draws a and a' independently; "
        "Schulman et al. (2015), lemma 2",
        check=_mean_advantage,
    ),
    Theorem(
        name="coupled states",
        statement="|E_{s_t~π'} Ā − E_{s_t~π} Ā| ≤ 2(1−(1−α)^t) max|Ā| ≤ 4α(1−(1−α)^t) max|A_π|.",
        source="004 §2.9, lemma 15, its middle bound corrected; Schulman et al. (2015), lemma 3",
        check=_later_states,
    ),
    Theorem(
        name="coupled states, tight",
        statement="The middle bound is attained for every t, where 2α max|Ā| fails from t = 2.",
        source="004 §2.9, lemma 15, whose middle bound is 2α max|Ā|",
        check=_middle_bound,
    ),
    Theorem(
        name="trust region bound",
        statement="J(π') ≥ L_π(π') − 4εγ/(1−γ)² max TV² ≥ L_π(π') − 4εγ/(1−γ)² max KL(π‖π').",
        source="004 §2.9, theorem 13; Schulman et al. (2015), theorem 1",
        check=_bounds,
    ),
    Theorem(
        name="penalised surrogate",
        statement="What maximises L_π − C max KL never lowers J.",
        source="004 §2.9; Schulman et al. (2015), algorithm 1",
        check=_penalty,
    ),
    Theorem(
        name="trust region alone",
        statement="L_π may rise within any KL radius while J falls: a constraint is not monotone.",
        source="004 §2.10, which says that it is",
        check=_region_alone,
    ),
    Theorem(
        name="clipped surrogate",
        statement="Clipping stops updates only on the side where they would gain further.",
        source="004 §2.10, where none are made outside the region; Schulman et al. (2017), eq. 7",
        check=_clipping,
    ),
)
