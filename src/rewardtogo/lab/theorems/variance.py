r"""The variance of gradient estimates, and the baselines that leave least of it.

$X = \sum_t \gamma^t g_t G_t$ is an estimate of the gradient and $g = \sum_t g_t$ the score of a
trajectory. The variance of a vector is the trace of its covariance.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from .cases import draws_of
from .tasks import MARGIN, EpisodeDistribution, random_episodes
from .theorem import Sides, Theorem, at_most, equal, less, unequal


def _variance(
    episodes: EpisodeDistribution, x: Float[np.ndarray, "paths d"]
) -> Float[np.ndarray, ""]:
    mean = episodes.mean(x)
    return np.asarray(episodes.mean(np.sum(x**2, axis=1)) - mean @ mean)


def _best_constant(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    x, g = episodes.samples(episodes.powers * episodes.to_go), episodes.score.sum(axis=0)
    full_return = episodes.discounted.sum(axis=0)
    norm = np.sum(g**2, axis=1)
    mean_norm = episodes.mean(norm)
    best = episodes.mean(np.sum(x * g, axis=1)) / mean_norm
    published = episodes.mean(norm * full_return) / mean_norm
    best_full = episodes.mean(np.sum(full_return[:, None] * g * g, axis=1)) / mean_norm
    variance = lambda b: _variance(episodes, x - b * g)
    of_full = lambda b: _variance(episodes, (full_return[:, None] - b) * g)
    shifts = draw.normal(size=4)
    parabola = variance(best) + shifts**2 * mean_norm
    return [
        equal("Var(b* + h) = Var(b*) + h² E‖g‖²", [variance(best + h) for h in shifts], parabola),
        at_most("Var(b*) ≤ Var(0)", variance(best), variance(0)),
        unequal("E[‖g‖²R]/E‖g‖² is not b* with the return to go", published, best),
        less("where it leaves more variance", variance(best), variance(published), margin=1e-12),
        at_most(
            "with the full return it is the best",
            of_full(published),
            [of_full(published + h) for h in shifts],
        ),
        equal("as E⟨X,g⟩/E‖g‖² says", best_full, published),
    ]


def _finer_baselines(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    x, score = episodes.samples(episodes.powers * episodes.to_go), episodes.score
    g, p = score.sum(axis=0), episodes.probability
    scalar = np.einsum("n,nd,nd", p, x, g) / np.einsum("n,nd,nd", p, g, g)
    parameter = episodes.mean(g * x) / episodes.mean(g * g)
    inner = np.einsum("n,tnd,knd->tk", p, score, score)
    toward = np.einsum("n,tnd,nd->t", p, score, x)
    step = toward / np.diag(inner)
    shift = draw.normal(size=parameter.shape)

    def per_parameter(b):
        y = x - b * g
        return episodes.mean(y**2) - episodes.mean(y) ** 2

    constant = _variance(episodes, x - scalar * g)
    by_step = _variance(episodes, x - np.einsum("tnd,t->nd", score, step))
    return [
        equal("scores at two times are uncorrelated", inner, np.diag(np.diag(inner))),
        equal("E⟨g_t,X⟩/E‖g_t‖² solves for all b_t", step, np.linalg.solve(inner, toward)),
        at_most("best b_t ≤ best constant", by_step, constant),
        equal(
            "Var_j(b_j + h) = Var_j(b_j) + h² E g_j²",
            per_parameter(parameter + shift),
            per_parameter(parameter) + shift**2 * episodes.mean(g * g),
        ),
        at_most("best b_j ≤ best constant", per_parameter(parameter).sum(), constant),
    ]


def _sum_of_variances(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    score, p = episodes.score, episodes.probability
    terms = score * (episodes.powers * episodes.to_go)[..., None]
    means = np.einsum("n,tnd->td", p, terms)
    second = np.einsum("n,tnd,knd->tk", p, terms, terms)
    covariance = second - means @ means.T
    total = _variance(episodes, terms.sum(axis=0))
    first = np.trace(second)
    norms = np.einsum("n,tnd,tnd->t", p, score, score)
    independent = norms @ ((episodes.powers * episodes.to_go) ** 2 @ p)
    crossed = 2 * np.sum(np.triu(covariance, k=1))
    return [
        equal("Var Σ X_t = Σ Var X_t + 2 Σ Cov", total, np.trace(covariance) + crossed),
        unequal("(i) drops covariances and squared means", first, total, margin=MARGIN),
        equal("(i) is off by both", total - first, crossed - np.sum(means**2)),
        unequal("(ii) factors what is not independent", independent, first),
    ]


def _best_function_of_state(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    values, p, at = episodes.values[0], episodes.probability, episodes.at_state
    norm = np.sum(episodes.score**2, axis=-1)
    weight = episodes.given_state(norm)
    weighted = episodes.given_state(norm * episodes.to_go) / np.where(weight == 0, 1, weight)
    shift = draw.normal(size=values.shape)
    error = lambda b: np.sum((episodes.to_go - at(b)) ** 2 @ p)
    second_moment = lambda b: np.sum((norm * (episodes.to_go - at(b)) ** 2) @ p)
    return [
        equal(
            "E(G - V - h)² = E(G - V)² + E h²",
            error(values + shift),
            error(values) + np.sum(at(shift) ** 2 @ p),
        ),
        at_most(
            "E‖g_t(G - b)‖² is least at E[‖g‖²G|s]/E[‖g‖²|s]",
            second_moment(weighted),
            [second_moment(values), second_moment(weighted + shift)],
        ),
        unequal("which is not V", weighted[weight > 0], values[weight > 0]),
    ]


def _more_variance(key: PRNGKeyArray) -> Sequence[Sides]:
    draw = draws_of(key)
    p, pay = draw.uniform(0.7, 0.95), draw.uniform(0.5, 2)
    chance, score = np.array([p, 1 - p]), np.array([1 - p, -p])
    spread = lambda x, chance: chance @ x**2 - (chance @ x) ** 2
    reward = np.array([pay, 0])
    # Two steps of the same choice without consequences, which cost `pay` and give it back.
    chances = np.outer(chance, chance).ravel()
    first, second = (x.ravel() for x in np.meshgrid(score, score, indexing="ij"))
    full, causal = (first + second) * 0, first * 0 + second * pay
    return [
        equal(
            "both baselines: the same mean",
            chance @ (score * (reward - p * pay)),
            chance @ (score * reward),
        ),
        less(
            "Var with no baseline < Var with V",
            spread(score * reward, chance),
            spread(score * (reward - p * pay), chance),
        ),
        equal("with causality or without: the same mean", chances @ causal, chances @ full),
        less(
            "Var of the full return < Var of the return to go",
            spread(full, chances),
            spread(causal, chances),
        ),
    ]


THEOREMS = (
    Theorem(
        name="best constant baseline",
        statement="b = E⟨X,g⟩/E‖g‖² is best; that is E[‖g‖²R]/E‖g‖² for the full return only.",
        source="004 §2.5, prop. 9; Greensmith, Bartlett and Baxter (2004), section 3",
        check=_best_constant,
    ),
    Theorem(
        name="best baseline by step and by parameter",
        statement="b_t = E⟨g_t,X⟩/E‖g_t‖² and b_j = E[g_j X_j]/E g_j² do no worse.",
        source="004 §2.5, after prop. 9; Peters and Schaal (2008), section 3.2",
        check=_finer_baselines,
    ),
    Theorem(
        name="variance of a sum",
        statement="Var Σ X_t = Σ Var X_t + 2 Σ Cov; both approximations of 002 are off.",
        source="002, understanding the baseline, (i) and (ii)",
        check=_sum_of_variances,
    ),
    Theorem(
        name="best baseline of the state",
        statement="V is the best fit to the return; the least variance weighs returns by ‖g‖².",
        source="002, understanding the baseline; Greensmith, Bartlett and Baxter (2004), section 3",
        check=_best_function_of_state,
    ),
    Theorem(
        name="less variance is no theorem",
        statement="There are tasks where V as a baseline, or causality, raises the variance.",
        source="001, variance reduction; 002, understanding the baseline; 004 §2.4 and §2.5",
        check=_more_variance,
    ),
)
