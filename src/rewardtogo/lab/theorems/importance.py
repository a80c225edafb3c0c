r"""Episodes of one policy used for the gradient of another.

Episodes come from $\pi_\theta$, the gradient is wanted at $\theta'$. The ratio of one step is
$\rho_t = \pi_{\theta'}(a_t \mid s_t) / \pi_\theta(a_t \mid s_t)$ and $\rho_{i:j}$ the product from
$i$ to $j$; $g'_t = \nabla\log\pi_{\theta'}(a_t \mid s_t)$.
"""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Inexact, PRNGKeyArray

from .cases import derivative
from .tasks import MARGIN, EpisodeDistribution, random_episodes
from .theorem import Sides, Theorem, equal, unequal


class _Reuse:
    """Episodes of θ, and other parameters θ' where the gradient is wanted."""

    def __init__(self, key: PRNGKeyArray):
        self.episodes, self.draw = random_episodes(key)
        self.old = self.episodes.task.theta
        self.new = self.old + 0.7 * self.draw.normal(size=self.old.shape)
        self.score = self.episodes.scores(self.new)
        self.exact = derivative(self.episodes.expected_return, self.new)
        task = self.episodes.task
        ratio = self.episodes.at_pair((task.policy(self.new) / task.policy(self.old))[None])
        self.ratio = np.where(self.episodes.paths.mask, ratio, 1)
        self.product = np.cumprod(self.ratio, axis=0)

    def estimate(self, weight: Float[np.ndarray, "horizon #n"]) -> Float[np.ndarray, " d"]:
        r"""$E_\theta \sum_t g'_t w_t$."""
        return self.episodes.mean(np.sum(self.score * weight[..., None], axis=0))

    @functools.cached_property
    def corrected_to_go(self) -> Float[np.ndarray, "horizon paths"]:
        r"""$\sum_{k \ge t} \gamma^{k-t} \rho_{t+1:k} r_k$."""
        episodes = self.episodes
        weighed = self.product * episodes.discounted
        after = np.cumsum(weighed[::-1], axis=0)[::-1]
        return after / (self.product * episodes.powers)

    def baseline(self) -> Float[np.ndarray, "horizon paths"]:
        table = self.draw.normal(size=(1, self.episodes.task.mdp.num_states))
        return self.episodes.at_state(table)


def _surrogate(
    episodes: EpisodeDistribution, theta: Inexact[np.ndarray, " d"]
) -> Inexact[np.ndarray, ""]:
    r"""$J(\theta_{old}) + \sum_t \gamma^t E_{s \sim d_t, a \sim \pi_\theta} A_t(s,a)$."""
    values, q = episodes.values
    weight = episodes.powers * episodes.visits
    gain = np.einsum("ts,sa,tsa", weight, episodes.task.policy(theta), q - values[..., None])
    return np.asarray(episodes.expected_return(episodes.task.theta) + gain)


def _trajectory_ratio(key: PRNGKeyArray) -> Sequence[Sides]:
    reuse = _Reuse(key)
    episodes, whole = reuse.episodes, reuse.product[-1]
    f = reuse.draw.normal(size=whole.size)
    to_go = episodes.powers * (episodes.to_go - reuse.baseline())
    full = np.broadcast_to(episodes.discounted.sum(axis=0), to_go.shape)
    densities = episodes.chances(reuse.new) / episodes.probability
    return [
        equal("p_θ'(τ)/p_θ(τ) = Π ρ_t: no dynamics in it", densities, whole),
        equal("E_θ[ρ f] = E_θ' f", episodes.mean(whole * f), episodes.chances(reuse.new) @ f),
        equal("E_θ ρ = 1", episodes.mean(whole), 1.0),
        equal("E_θ[ρ R Σ g'_t] = ∇J(θ')", reuse.estimate(whole * full), reuse.exact),
        equal("E_θ[ρ Σ γ^t g'_t (G_t - b)] = ∇J(θ')", reuse.estimate(whole * to_go), reuse.exact),
    ]


def _per_decision(key: PRNGKeyArray) -> Sequence[Sides]:
    reuse = _Reuse(key)
    episodes = reuse.episodes
    weighed = reuse.product * episodes.discounted
    by_reward = np.sum(weighed[..., None] * np.cumsum(reuse.score, axis=0), axis=0)
    by_score = episodes.powers * reuse.product * reuse.corrected_to_go
    baseline = episodes.powers * reuse.product * reuse.baseline()
    value = episodes.expected_return(reuse.new)
    return [
        equal("E_θ Σ γ^t ρ_{0:t} r_t = J(θ')", episodes.mean(weighed.sum(axis=0)), value),
        equal("E_θ Σ γ^t ρ_{0:t} r_t Σ_{i≤t} g'_i = ∇J(θ')", episodes.mean(by_reward), reuse.exact),
        equal("by scores: g'_t weighs what ρ_{0:k} leaves", reuse.estimate(by_score), reuse.exact),
        equal("there, b(s_t) under ρ_{0:t} is free", reuse.estimate(baseline), 0.0),
        unequal(
            "path by path it is not the whole ratio times R",
            weighed.sum(axis=0),
            reuse.product[-1] * episodes.discounted.sum(axis=0),
        ),
    ]


def _per_timestep(key: PRNGKeyArray) -> Sequence[Sides]:
    reuse = _Reuse(key)
    episodes, ratio = reuse.episodes, reuse.ratio
    powers, to_go = episodes.powers, episodes.to_go
    surrogate = functools.partial(_surrogate, episodes)
    ours = reuse.estimate(powers * ratio * to_go)
    before = reuse.estimate(powers * reuse.product * to_go)
    after = reuse.estimate(powers * ratio * reuse.corrected_to_go)
    both = reuse.estimate(powers * reuse.product * reuse.corrected_to_go)
    return [
        equal("E_θ Σ γ^t ρ_t g'_t G_t = ∇L(θ')", ours, derivative(surrogate, reuse.new)),
        unequal("which is not ∇J(θ')", ours, reuse.exact, margin=MARGIN),
        equal("∇L = ∇J at θ' = θ", derivative(surrogate, reuse.old), episodes.gradient),
        equal("b(s_t) is free", reuse.estimate(powers * ratio * reuse.baseline()), 0.0),
        unequal("correcting the states before t is not enough", before, reuse.exact, margin=MARGIN),
        unequal("nor the actions after t", after, reuse.exact, margin=MARGIN),
        equal("both give ∇J(θ')", both, reuse.exact),
    ]


def _no_ratio(key: PRNGKeyArray) -> Sequence[Sides]:
    reuse = _Reuse(key)
    episodes, powers = reuse.episodes, reuse.episodes.powers
    surrogate = functools.partial(_surrogate, episodes)
    weight = powers * episodes.to_go
    ours = reuse.estimate(weight)

    def weighted_cloning(theta):
        log_policy = np.log(episodes.task.policy(theta))[
            episodes.paths.state, episodes.paths.action
        ]
        weighed = np.sum(np.where(episodes.paths.mask, weight * log_policy, 0), axis=0)
        return episodes.probability @ weighed

    return [
        equal("it is cloning weighed by returns", ours, derivative(weighted_cloning, reuse.new)),
        unequal("ratio 1: not ∇J(θ')", ours, reuse.exact),
        unequal("nor ∇L(θ')", ours, derivative(surrogate, reuse.new)),
        unequal("and b(s_t) is not free", reuse.estimate(powers * reuse.baseline()), 0.0),
    ]


THEOREMS = (
    Theorem(
        name="trajectory ratio",
        statement="Weighing by Π ρ_t gives expectations, and the gradient, of the other policy.",
        source="001, off-policy policy gradient (trajectory-level), with t inside its sum",
        check=_trajectory_ratio,
    ),
    Theorem(
        name="per-decision ratio",
        statement="A reward needs the ratios up to its own time only.",
        source="001, importance sampling; Precup, Sutton and Singh (2000), section 3",
        check=_per_decision,
    ),
    Theorem(
        name="per-timestep ratio",
        statement="One ratio a step gives the gradient of TRPO's L, and not of J.",
        source="001, off-policy policy gradient (timestep-level); 004 §2.10",
        check=_per_timestep,
    ),
    Theorem(
        name="ratio taken for one",
        statement="Without a ratio it is neither gradient, and a baseline changes it.",
        source="001, common simplification",
        check=_no_ratio,
    ),
)
