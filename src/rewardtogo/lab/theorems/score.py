r"""The score function and the forms of the policy gradient over a finite horizon.

Sources by number, here and in the files beside this one. 000: *Offline RL-2*. 001: notes on policy
gradients, without a title. 002: Seita (2017), *Going Deeper Into Reinforcement Learning:
Fundamentals of Policy Gradients*. 003: a lecture on the policy gradient theorem, without a title.
004: Hamid, *Deep Reinforcement Learning*. What they write with γ = 1 holds for the rewards
$\gamma^t r_t$ and is checked so.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ...losses.policy_gradient import score_function
from .cases import derivative
from .tasks import MARGIN, EpisodeDistribution, random_episodes
from .theorem import Sides, Theorem, equal, unequal


def _log_derivative(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    task, whole_score = episodes.task, episodes.score.sum(axis=0)
    f = draw.normal(size=episodes.probability.size)
    left = derivative(lambda theta: episodes.chances(theta) @ f, task.theta)
    log_chances = derivative(lambda theta: np.log(episodes.chances(theta)), task.theta)
    at_state = np.einsum("sa,sad->sd", task.policy(task.theta), task.scores(task.theta))
    return [
        equal("∇E f(τ) = E[f(τ) ∇log p(τ)]", left, episodes.mean(f[:, None] * whole_score)),
        equal("∇log p(τ) = Σ_t g_t, on each path", log_chances, whole_score),
        equal("E ∇log p(τ) = 0", episodes.mean(whole_score), 0.0),
        equal("E_a ∇log π(a|s) = 0, at each state", at_state, 0.0),
    ]


def _three_forms(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    reward, score = episodes.discounted, episodes.score
    full = score.sum(axis=0) * reward.sum(axis=0)[:, None]
    by_reward = reward[..., None] * np.cumsum(score, axis=0)
    causal = episodes.samples(episodes.powers * episodes.to_go)
    exact = episodes.gradient
    return [
        equal("E[(Σ r)(Σ g)] = ∇J", episodes.mean(full), exact),
        equal("E Σ_t' r_t' Σ_{t≤t'} g_t = ∇J", episodes.mean(by_reward.sum(axis=0)), exact),
        equal("E Σ_t g_t Σ_{t'≥t} r_t' = ∇J", episodes.mean(causal), exact),
        equal("the second is the third, path by path", by_reward.sum(axis=0), causal),
        unequal("the first is not, path by path", full, causal),
        unequal("nor is the second from t' = 1", episodes.mean(by_reward[1:].sum(axis=0)), exact),
    ]


def _action_value_form(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    values, q = episodes.values
    taken, value = episodes.at_pair(q), episodes.at_state(values)
    conditional = episodes.given_pair(episodes.to_go)
    exact, powers = episodes.gradient, episodes.powers
    return [
        equal("E Σ γ^t g_t Q_t = ∇J", episodes.estimate(powers * taken), exact),
        equal("E Σ γ^t g_t A_t = ∇J", episodes.estimate(powers * (taken - value)), exact),
        equal("E[G_t | s, a] = Q_t", conditional, np.where(conditional == 0, 0, q)),
        unequal(
            "path by path, Q_t is not G_t",
            episodes.samples(powers * taken),
            episodes.samples(powers * episodes.to_go),
        ),
        unequal(
            "Q_0 at every t is not ∇J",
            episodes.estimate(powers * episodes.at_pair(q[:1])),
            exact,
        ),
    ]


def _causality(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    products = np.einsum("n,tnd,kn->tkd", episodes.probability, episodes.score, episodes.discounted)
    past = np.tril(np.ones(products.shape[:2], bool), k=-1)
    return [
        equal("E[g_t r_t'] = 0 for t' < t", products[past], 0.0),
        unequal("E[g_t r_t'] ≠ 0 for t' ≥ t", products[~past], 0.0),
    ]


def _one_reward(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    reward, theta = episodes.paths.reward, episodes.task.theta
    left = derivative(lambda theta: reward @ episodes.chances(theta), theta)
    products = reward[..., None] * np.cumsum(episodes.score, axis=0)
    right = np.stack([episodes.mean(product) for product in products])
    total = derivative(lambda theta: reward.sum(axis=0) @ episodes.chances(theta), theta)
    return [
        equal("∇E r_t = E[r_t Σ_{t'≤t} g_t'], each t", left, right),
        equal("their sum is ∇E Σ_t r_t", right.sum(axis=0), total),
        unequal("and not ∇E r_t", right.sum(axis=0), left),
    ]


def _power_of_discount(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key, discounts=(0.5, 0.9))
    task, to_go = episodes.task, episodes.to_go
    policy, score = task.policy(task.theta), task.scores(task.theta)
    visits, q = episodes.visits, episodes.values[1]
    closed = lambda visits: np.einsum("ts,sa,tsa,sad->d", visits, policy, q, score)
    powers = episodes.powers
    kept, dropped = episodes.estimate(powers * to_go), episodes.estimate(to_go)
    undiscounted = derivative(
        lambda theta: episodes.paths.reward.sum(axis=0) @ episodes.chances(theta), task.theta
    )

    def direction(theta):
        return np.einsum("n,tnd,tn->d", episodes.chances(theta), episodes.scores(theta), to_go)

    jacobian = derivative(direction, task.theta)
    return [
        equal("E Σ γ^t g_t G_t = ∇J", kept, episodes.gradient),
        equal("E Σ γ^t g_t G_t = Σ_t γ^t Σ_s d_t(s) Σ_a ∇π Q_t", kept, closed(powers * visits)),
        equal("E Σ g_t G_t = Σ_t Σ_s d_t(s) Σ_a ∇π Q_t", dropped, closed(visits)),
        unequal("without γ^t it is not ∇J", dropped, episodes.gradient),
        unequal("nor the gradient of the undiscounted return", dropped, undiscounted),
        unequal(
            "nor any gradient: its Jacobian is not symmetric", jacobian, jacobian.T, margin=MARGIN
        ),
    ]


def _surrogate(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    theta = episodes.task.theta
    elsewhere = theta + draw.normal(size=theta.shape)
    value, gradient = _surrogate_at(episodes, theta)
    _, gradient_elsewhere = _surrogate_at(episodes, elsewhere)
    exact_elsewhere = derivative(episodes.expected_return, elsewhere)
    return [
        equal("∇ of the surrogate = ∇J where the data came from", gradient, episodes.gradient),
        unequal("elsewhere it is not", gradient_elsewhere, exact_elsewhere),
        unequal("its value is not J", value, episodes.expected_return(theta)),
    ]


def _surrogate_at(
    episodes: EpisodeDistribution, theta: Float[np.ndarray, " d"]
) -> tuple[np.ndarray, np.ndarray]:
    """$E \\sum_t \\gamma^t G_t \\log\\pi_\\theta$ and its derivative, by autodiff of the loss."""
    with jax.enable_x64(True):
        arrays = (episodes.task.features, episodes.powers * episodes.to_go, episodes.probability)
        features, weight, probability = (jnp.asarray(x) for x in arrays)

        def surrogate(theta):
            log_probs = jax.nn.log_softmax(features @ theta)
            log_prob = log_probs[episodes.paths.state, episodes.paths.action]
            loss = jnp.where(episodes.paths.mask, score_function(log_prob, weight), 0)
            return -jnp.sum(probability[None, :] * loss)

        value, gradient = jax.value_and_grad(surrogate)(jnp.asarray(theta))
        return np.asarray(value), np.asarray(gradient)


def _mean_over_steps(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key, terminals=(1,))
    sums = episodes.samples(episodes.powers * episodes.to_go)
    length = episodes.paths.mask.sum(axis=0)
    over_steps = episodes.mean(sums / length[:, None])
    exact = episodes.gradient
    projection = exact * (exact @ over_steps) / (exact @ exact)
    return [
        equal("E of the sum over steps = ∇J", episodes.mean(sums), exact),
        unequal("E of the mean over steps is no multiple of ∇J", over_steps, projection),
    ]


def _equal_returns(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    constant = draw.uniform(1, 2)
    samples = constant * episodes.score.sum(axis=0)
    cloning = derivative(lambda theta: np.log(episodes.chances(theta)), episodes.task.theta)
    total = derivative(lambda theta: constant * episodes.chances(theta).sum(), episodes.task.theta)
    return [
        equal("a sample is c times the gradient of cloning", samples, constant * cloning),
        unequal("and not zero", samples, 0.0),
        equal("its expectation is zero", episodes.mean(samples), 0.0),
        equal("as is the gradient of J = c", total, 0.0),
    ]


THEOREMS = (
    Theorem(
        name="log-derivative trick",
        statement="∇E f(τ) = E[f(τ) ∇log p(τ)]; the score has mean 0 and no dynamics in it.",
        source="000 §2; 001 steps 3 and 4; 002, log-derivative trick; 004 §2.1, lemmas 5 and 6",
        check=_log_derivative,
    ),
    Theorem(
        name="three forms of the gradient",
        statement="Sums by reward and by score agree on each path, the full product in mean.",
        source="002, how to introduce a baseline, (i)–(iii), of which (ii) starts at t' = 0",
        check=_three_forms,
    ),
    Theorem(
        name="gradient with action values",
        statement="Q_t, of the rewards left at t, may stand for the return to go: in mean only.",
        source="002, advantage functions, (i), where Q over the full horizon is wrong for t > 0",
        check=_action_value_form,
    ),
    Theorem(
        name="causality",
        statement="A score has no correlation with rewards before it.",
        source="000 §3; 001, variance reduction 1; 004 §2.4",
        check=_causality,
    ),
    Theorem(
        name="gradient of one reward",
        statement="∇E r_t = E[r_t Σ_{t'≤t} g_t']; summed over t it is the gradient of the sum.",
        source="002, comment on (ii); 004 §2.4, whose sum is ∇E[Σ r_t] and not ∇E[r_t]",
        check=_one_reward,
    ),
    Theorem(
        name="power of the discount",
        statement="γ^t G_t gives ∇J. G_t alone follows undiscounted visits, and no objective.",
        source="000 §3; 002, discount factors; Nota and Thomas (2020), theorem 1",
        check=_power_of_discount,
    ),
    Theorem(
        name="surrogate",
        statement="The surrogate has the gradient of J at the sampling parameters only.",
        source="001, surrogate objective",
        check=_surrogate,
    ),
    Theorem(
        name="mean over steps",
        statement="Where lengths differ, averaging over steps and not episodes turns the gradient.",
        source="001, surrogate objective, implementation",
        check=_mean_over_steps,
    ),
    Theorem(
        name="equal returns",
        statement="With equal returns the gradient is cloning on each sample and zero in mean.",
        source="001, relationship to imitation learning, where it is called cloning",
        check=_equal_returns,
    ),
)
