"""Conservative Q-learning: what its fixed points are, and which of them are lower bounds."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from ...tabular.exact.evaluation import action_values, state_values
from ...tabular.exact.occupancy import visitation
from ...types import AnyArray
from .cases import Case, chain, complex_gradient, divergence, draws_of, random_case, softmax
from .theorem import Sides, Theorem, at_most, equal, less, unequal


def _pair_chain(case: Case, policy: np.ndarray) -> np.ndarray:
    r"""$P^\pi$ on state–action pairs, states first."""
    size = policy.size
    return (case.dynamics[..., None] * policy).reshape(size, size)


def _backed_up(case: Case, policy: np.ndarray, q: AnyArray) -> np.ndarray:
    return case.reward + case.discount * case.dynamics @ np.sum(policy * q, axis=1)


def _slope(
    case: Case, policy: np.ndarray, pushed: np.ndarray, weight: float, q: AnyArray
) -> np.ndarray:
    """The gradient in Q of α Σ d_β pushed·Q + ½ E_β(Q − target)², its target a constant at q."""
    states = visitation(case.mdp, case.policy)[:, None]
    target = _backed_up(case, policy, q)

    def loss(q):
        error = states * case.policy * (q - target) ** 2
        return np.sum(weight * states * pushed * q + error / 2)

    return complex_gradient(loss, np.asarray(q))


def _lower_bound(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, ends=False)
    policy, weight = case.other, float(case.draws.uniform(0.1, 2))
    pushed = case.draws.dirichlet(np.ones(policy.shape[1]), len(policy))
    true = action_values(case.mdp, policy)
    system = np.eye(policy.size) - case.discount * _pair_chain(case, policy)
    penalty = np.linalg.solve(system, (pushed / case.policy).ravel()).reshape(true.shape)
    learned = true - weight * penalty
    slope = _slope(case, policy, pushed, weight, learned)
    plain = _slope(case, policy, pushed, weight, true)
    return [
        equal("the loss is stationary at Q^π − α(I−γP^π)⁻¹[μ/π_β]", slope, 0.0),
        unequal("and not at Q^π", plain, 0.0),
        at_most("Q̂ ≤ Q^π − αμ/π_β", learned, true - weight * pushed / case.policy),
        less("Q̂ < Q^π", learned, true),
    ]


def _value_bound(key: PRNGKeyArray) -> Sequence[Sides]:
    case = random_case(key, ends=False)
    behaviour, weight = case.policy, float(case.draws.uniform(0.1, 2))
    slopes, gaps, chi_squares, excess = [], [], [], []
    # Near π_β the penalty is of first order at one action and of second order in V.
    for step in (1.0, 1e-3):
        policy = (1 - step) * behaviour + step * case.other
        true = action_values(case.mdp, policy)
        system = np.eye(policy.size) - case.discount * _pair_chain(case, policy)
        pushed = policy - behaviour
        penalty = np.linalg.solve(system, (pushed / behaviour).ravel()).reshape(true.shape)
        learned = true - weight * penalty
        slopes.append(_slope(case, policy, pushed, weight, learned))
        gaps.append((policy * learned).sum(axis=1) - state_values(case.mdp, policy))
        chi_square = ((policy - behaviour) ** 2 / behaviour).sum(axis=1)
        states = np.eye(len(policy)) - case.discount * chain(case, policy)
        chi_squares.append(-weight * np.linalg.solve(states, chi_square))
        excess.append(np.max(learned - true))
    return [
        equal("the loss is stationary there", slopes, 0.0),
        equal("V̂ − V^π = −α(I−γP^π)⁻¹χ²(π‖π_β)", gaps, chi_squares),
        less("V̂ < V^π", gaps, 0.0, margin=0.0),
        less("yet Q̂ > Q^π somewhere", 0.0, excess[1]),
    ]


def _inner_maximum(key: PRNGKeyArray) -> Sequence[Sides]:
    draws = draws_of(key)
    weight = float(draws.choice([0.3, 3.0]))
    q, prior = draws.normal(size=5), draws.dirichlet(np.full(5, 2.0))
    objective = lambda mu: weight * (mu @ q) - weight * divergence(mu, prior)
    unscaled = lambda mu: weight * (mu @ q) - divergence(mu, prior)
    best = prior * np.exp(q) / np.sum(prior * np.exp(q))
    rivals = draws.dirichlet(np.full(5, 0.7), 50) + 1e-9
    rivals /= rivals.sum(axis=1, keepdims=True)
    logits = np.log(best)
    uniform = np.full(5, 0.2)
    entropic = weight * np.log(np.sum(np.exp(q)))
    flat = weight * (softmax(q) @ q - divergence(softmax(q), uniform) + np.log(5))
    return [
        equal(
            "max_μ α(E_μ Q − KL(μ‖ρ)) = α log E_ρ exp Q",
            objective(best),
            weight * np.log(prior @ np.exp(q)),
        ),
        equal(
            "stationary at ρ exp(Q)/Z",
            complex_gradient(lambda x: objective(softmax(x)), logits),
            0.0,
        ),
        at_most("any other μ ≤", objective(rivals), objective(best)),
        unequal(
            "with R = −KL, without α, it is not stationary there",
            complex_gradient(lambda x: unscaled(softmax(x)), logits),
            0.0,
        ),
        equal("ρ uniform: α(max + log|A|) = α log Σ exp Q", flat, entropic),
    ]


THEOREMS = (
    Theorem(
        name="conservative evaluation",
        statement="Q̂ = Q^π − α(I−γP^π)⁻¹[μ/π_β], below Q^π for every action.",
        source="004 §5.3.1; Kumar et al. (2020), eq. 1 and theorem 3.1",
        check=_lower_bound,
    ),
    Theorem(
        name="conservative evaluation with the data term",
        statement="V̂ = V^π − α(I−γP^π)⁻¹χ²(π‖π_β) ≤ V^π, while Q̂ may exceed Q^π.",
        source="004 §5.3.1; Kumar et al. (2020), eq. 2 and theorem 3.2",
        check=_value_bound,
    ),
    Theorem(
        name="conservative control",
        statement="The inner maximum with R = −α KL(μ‖ρ) is α log E_ρ exp Q, at μ ∝ ρ exp Q.",
        source="004 §5.3.2, whose R lacks the α; Kumar et al. (2020), eq. 4 and appendix A",
        check=_inner_maximum,
    ),
)
