"""G2 and G3: expectations of gradient estimators, summed over all trajectories (H = 3).

The estimators are built from the library's own returns, baselines and losses; the oracle is the
derivative of the enumerated expected return, Σ p_θ(τ) R(τ), and the closed forms of `tabular`.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.estimators import baselines
from rewardtogo.estimators.returns import generalised_advantage, reward_to_go
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories
from rewardtogo.losses.policy_gradient import score_function
from rewardtogo.nn.distributions import Categorical
from rewardtogo.tabular.exact.evaluation import finite_horizon_values
from rewardtogo.tabular.exact.gradient import finite_horizon_gradient
from rewardtogo.tabular.exact.occupancy import state_distributions
from rewardtogo.tabular.problems.garnet import garnet


HORIZON = 3


def close(ours, expected):
    return jnp.allclose(ours, expected, rtol=1e-10, atol=1e-12)


class Problem:
    """An MDP where some episodes end early, a policy, and all it may do."""

    def __init__(self, discount):
        self.discount = discount
        self.mdp = garnet(
            num_states=3, num_actions=2, num_terminal=1, discount=discount, key=jr.key(3)
        )
        self.theta = jr.normal(jr.key(4), (3, 2), jnp.float64)
        self.paths = jax.tree.map(jnp.asarray, enumerate_trajectories(self.mdp, horizon=HORIZON))
        self.probability = self.probabilities(self.theta)
        terminated = jnp.asarray(self.mdp.terminal)[self.paths.next_state]
        # The horizon belongs to the task: no bootstrap, and nothing was truncated.
        self.ends = terminated.at[-1].set(True), jnp.zeros_like(terminated)
        self.to_go = reward_to_go(
            self.paths.reward, *self.ends, jnp.zeros_like(self.paths.reward), discount=discount
        )
        self.powers = jnp.broadcast_to(
            discount ** jnp.arange(HORIZON, dtype=float)[:, None], self.to_go.shape
        )
        self.gradient = jax.grad(self.expected_return)(self.theta)

    def log_prob(self, theta):
        """log π(a_t | s_t), 0 where no step was taken."""
        log_prob = Categorical(theta[self.paths.state]).log_prob(self.paths.action)
        return jnp.where(self.paths.mask, log_prob, 0)

    def probabilities(self, theta):
        return self.paths.dynamics * jnp.exp(self.log_prob(theta).sum(0))

    def expected_return(self, theta):
        discounted = self.discount ** jnp.arange(HORIZON, dtype=float) @ self.paths.reward
        return self.probabilities(theta) @ discounted

    def expected_estimate(self, weight):
        """E Σ_t g_t w_t, as minus the gradient of the score-function loss."""
        loss = lambda theta: self.probability @ score_function(self.log_prob(theta), weight).sum(0)
        return -jax.grad(loss)(self.theta)


@pytest.fixture(params=[0.5, 0.9, 1.0])
def problem(request, x64):
    return Problem(request.param)


def test_enumeration_is_complete(problem):
    """Probabilities sum to 1, and two exact gradients that share no code agree."""
    assert close(problem.probability.sum(), 1)
    assert not problem.paths.mask.all() and problem.paths.mask[0].all()
    closed = finite_horizon_gradient(problem.mdp, jax.nn.softmax, problem.theta, horizon=HORIZON)
    assert close(problem.gradient, closed)


def test_full_return_is_unbiased(problem):
    """G2: every score times the whole discounted return."""
    weight = jnp.broadcast_to(problem.to_go[:1], problem.to_go.shape)
    assert close(problem.expected_estimate(weight), problem.gradient)


def test_causality_is_unbiased(problem):
    """G2: γ^t times the return to go."""
    weight = problem.powers * problem.to_go
    assert close(problem.expected_estimate(weight), problem.gradient)


def test_without_the_power_of_gamma_the_target_is_another(problem):
    """G2: Σ_t Σ_s d_t(s) Σ_a ∇π(a|s) Q_t(s,a), which is ∇J at γ = 1 only."""
    policy, pull_back = jax.vjp(jax.nn.softmax, problem.theta)
    _, q = finite_horizon_values(problem.mdp, policy, horizon=HORIZON)
    visits = state_distributions(problem.mdp, policy, horizon=HORIZON)
    target = pull_back(jnp.einsum("ts,tsa->sa", visits, q))[0]
    ours = problem.expected_estimate(problem.to_go)
    assert close(ours, target)
    assert jnp.allclose(ours, problem.gradient, rtol=1e-3) == (problem.discount == 1)


@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 1.0])
def test_generalised_advantages_of_exact_values_are_unbiased(problem, trace_decay):
    """E[Σ_l (γλ)^l δ_{t+l} | s_t, a_t] = A_t for every λ, when the values are exact."""
    values, _ = finite_horizon_values(problem.mdp, jax.nn.softmax(problem.theta), horizon=HORIZON)
    time = jnp.arange(HORIZON)[:, None]
    value = jnp.asarray(values)[time, problem.paths.state]
    next_value = jnp.asarray(values)[jnp.minimum(time + 1, HORIZON - 1), problem.paths.next_state]
    advantage = generalised_advantage(
        problem.paths.reward,
        value,
        next_value,
        *problem.ends,
        discount=problem.discount,
        trace_decay=trace_decay,
    )
    ours = problem.expected_estimate(problem.powers * advantage)
    assert close(ours, problem.gradient)


def expected_over_pairs(problem, baseline):
    """E ½ Σ_i Σ_t γ^t g_t^i (G_t^i - b_t^i) over all pairs of independent episodes."""
    count = problem.probability.size
    first, second = (jnp.asarray(i) for i in np.divmod(np.arange(count**2), count))
    pair = lambda x: jnp.stack([x[:, first], x[:, second]], axis=-1)
    returns, mask = pair(problem.to_go), pair(problem.paths.mask)
    weight = pair(problem.powers) * (returns - baseline(returns, mask))
    probability = problem.probability[first] * problem.probability[second]

    def loss(theta):
        per_episode = score_function(pair(problem.log_prob(theta)), weight).sum(0)
        return probability @ per_episode.mean(-1)

    return -jax.grad(loss)(problem.theta)


BASELINES = [(baselines.zero, 1.0), (baselines.batch_mean, 0.5), (baselines.leave_one_out, 1.0)]


@pytest.mark.parametrize(("baseline", "factor"), BASELINES)
def test_expectation_with_a_baseline_from_the_batch(problem, baseline, factor):
    """G3: none is unbiased, the batch mean gives (1 - 1/N)∇J, leave-one-out is unbiased."""
    ours = expected_over_pairs(problem, baseline)
    assert close(ours, factor * problem.gradient)


def test_a_mean_over_live_episodes_is_no_constant_factor(problem):
    """G3: why a finished episode counts as zero."""

    def live_mean(returns, mask):
        total = jnp.sum(jnp.where(mask, returns, 0), axis=-1, keepdims=True)
        mean = total / jnp.maximum(mask.sum(-1, keepdims=True), 1)
        return jnp.broadcast_to(mean, returns.shape)

    ratio = expected_over_pairs(problem, live_mean)[:2] / problem.gradient[:2]
    assert jnp.ptp(ratio) > 1e-3
