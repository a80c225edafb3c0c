"""Baselines: which leave the mean of the gradient as it is, and which do not."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ...estimators import baselines
from .cases import derivative
from .tasks import MARGIN, EpisodeDistribution, random_episodes
from .theorem import Sides, Theorem, equal, unequal


BatchBaseline = Callable[
    [Float[Array, "*time episode"], Bool[Array, "*time episode"]], Float[Array, "*time episode"]
]


def _unbiased(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    past = np.cumsum(episodes.discounted, axis=0) - episodes.discounted
    choices = {
        "a constant": np.full((1, 1), draw.normal()),
        "b_t": draw.normal(size=(episodes.horizon, 1)),
        "b(s_t)": episodes.at_state(draw.normal(size=(1, episodes.task.mdp.num_states))),
        "V_t(s_t)": episodes.at_state(episodes.values[0]),
        "what was earned before t": past,
    }
    return [
        equal(
            f"with {name}: ∇J",
            episodes.estimate(episodes.powers * (episodes.to_go - baseline)),
            episodes.gradient,
        )
        for name, baseline in choices.items()
    ]


def _biased(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    task, paths = episodes.task, episodes.paths
    states, actions = task.mdp.reward.shape
    table = draw.normal(size=(states, actions))
    policy = task.policy(task.theta)
    visits = episodes.powers * episodes.visits
    bias = np.einsum("ts,sa,sad,sa->d", visits, policy, task.scores(task.theta), table)
    later = draw.normal(size=states)[paths.next_state]

    def estimate(baseline):
        return episodes.estimate(episodes.powers * (episodes.to_go - baseline))

    ours = estimate(episodes.at_pair(table[None]))
    return [
        equal("with b(s, a): ∇J - Σ γ^t d_t ∇π b", ours, episodes.gradient - bias),
        unequal("with b(s, a), not ∇J", ours, episodes.gradient),
        unequal("with b(s_{t+1}), not ∇J", estimate(later), episodes.gradient),
    ]


def _summed_over_all_times(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    task, paths = episodes.task, episodes.paths
    table = np.where(task.mdp.terminal, 0, draw.normal(size=task.mdp.num_states))
    subtracted = np.sum(paths.reward - table[paths.state], axis=0)
    form = episodes.estimate(subtracted[None, :])
    followed = derivative(lambda theta: subtracted @ episodes.chances(theta), task.theta)
    meant = derivative(lambda theta: paths.reward.sum(axis=0) @ episodes.chances(theta), task.theta)
    return [
        equal("(Σ g)(Σ (r - b(s_t'))) follows ∇E Σ (r - b)", form, followed),
        unequal("and not ∇E Σ r", form, meant),
    ]


def _batch_mean(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key, horizon=2)
    exact = episodes.gradient
    comparisons = []
    for size in (2, 3):
        with_mean = _over_batches(episodes, size, baselines.batch_mean)
        without_own = _over_batches(episodes, size, baselines.leave_one_out)
        factor = 1 - 1 / size
        comparisons += [
            equal(f"{size} episodes, batch mean: (1 - 1/N)∇J", with_mean[0], factor * exact),
            equal(f"{size} episodes, leave one out: ∇J", without_own[0], exact),
            equal("N/(N-1) times one is the other", with_mean[1] / factor, without_own[1]),
        ]
    return comparisons


def _over_batches(
    episodes: EpisodeDistribution, size: int, baseline: BatchBaseline
) -> tuple[Float[np.ndarray, " parameters"], Float[np.ndarray, "horizon batches size"]]:
    """The expected estimate over all batches of independent episodes, and what weighs γ^t g_t."""
    columns, chance = _batches(episodes, size)
    with jax.enable_x64(True):
        returns, mask = (jnp.asarray(x[:, columns]) for x in (episodes.to_go, episodes.paths.mask))
        difference = np.where(mask, returns - baseline(returns, mask), 0)
    return _batch_estimate(episodes, columns, chance, difference), difference


def _batches(
    episodes: EpisodeDistribution, size: int
) -> tuple[np.ndarray, Float[np.ndarray, " batches"]]:
    count = episodes.probability.size
    columns = np.stack(np.unravel_index(np.arange(count**size), [count] * size), axis=-1)
    return columns, episodes.probability[columns].prod(axis=-1)


def _batch_estimate(
    episodes: EpisodeDistribution,
    columns: np.ndarray,
    chance: Float[np.ndarray, " batches"],
    difference: Float[np.ndarray, "horizon batches size"],
) -> Float[np.ndarray, " parameters"]:
    weight = chance[:, None] / columns.shape[1] * difference * episodes.powers[..., None]
    total = np.stack(
        [
            np.bincount(columns.ravel(), w.ravel(), minlength=episodes.probability.size)
            for w in weight
        ]
    )
    return np.einsum("tnd,tn->d", episodes.score, total)


def _constant_of_the_algorithm(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key, horizon=2, discounts=(1.0,))
    columns, chance = _batches(episodes, 2)
    own = episodes.to_go[0][columns].mean(axis=-1, keepdims=True)
    others = episodes.to_go[0][columns[:, ::-1]]
    to_go = episodes.to_go[:, columns]
    return [
        equal(
            "b = mean of all N returns: (1 - 1/N)∇J",
            _batch_estimate(episodes, columns, chance, to_go - own),
            episodes.gradient / 2,
        ),
        equal(
            "b = mean of the others: ∇J",
            _batch_estimate(episodes, columns, chance, to_go - others),
            episodes.gradient,
        ),
    ]


def _mean_of_the_living(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key, horizon=2, terminals=(1,))

    def of_the_living(returns, mask):
        total = jnp.sum(jnp.where(mask, returns, 0), axis=-1, keepdims=True)
        return total / jnp.maximum(mask.sum(axis=-1, keepdims=True), 1)

    ours = _over_batches(episodes, 2, of_the_living)[0]
    exact = episodes.gradient
    projection = exact * (exact @ ours) / (exact @ exact)
    return [unequal("over live episodes only: no multiple of ∇J", ours, projection, margin=MARGIN)]


THEOREMS = (
    Theorem(
        name="baselines without bias",
        statement="A baseline that depends on nothing after s_t leaves the mean as it is.",
        source="000 §3; 001, baselines; 002, understanding the baseline; 004 §2.5, prop. 8",
        check=_unbiased,
    ),
    Theorem(
        name="baselines with bias",
        statement="A baseline that knows the action, or what follows it, changes the mean.",
        source="004 §2.5",
        check=_biased,
    ),
    Theorem(
        name="baseline summed over all times",
        statement="Subtracting Σ_t' b(s_t') from the return follows another objective.",
        source="004 §2.5, first display",
        check=_summed_over_all_times,
    ),
    Theorem(
        name="mean of the batch",
        statement="Its own sample shrinks the gradient to 1 - 1/N of it; leave-one-out undoes it.",
        source="000, on b_t; Kool, van Hoof and Welling (2019)",
        check=_batch_mean,
    ),
    Theorem(
        name="mean return of the batch",
        statement="The constant b = (1/N) Σ R(τ_i) gives (1 - 1/N)∇J: it contains its own sample.",
        source="001, variance reduction 2; 004 §2.5, REINFORCE with baseline",
        check=_constant_of_the_algorithm,
    ),
    Theorem(
        name="mean of the living",
        statement="Averaged over live episodes only, a mean of the batch scales by no factor.",
        source="000, on b_t",
        check=_mean_of_the_living,
    ),
)
