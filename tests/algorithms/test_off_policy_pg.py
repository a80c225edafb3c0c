"""The off-policy policy gradient: its mean over all trajectories of an old policy, and its stop."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from lab.enumerated import ACTIONS, HORIZON, STATES, enumerated
from rewardtogo.algorithms.off_policy_pg import ImportanceWeights, OffPolicyPG
from rewardtogo.lab.comparison.exact_means import mean
from rewardtogo.lab.comparison.run import named
from rewardtogo.lab.comparison.sampling import episodes_of
from rewardtogo.nn.distributions import Categorical
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import MLP, Linear
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.tabular.exact.evaluation import finite_horizon_values
from rewardtogo.tabular.exact.occupancy import state_distributions
from rewardtogo.types import EpisodeBatch, Transition


DISCOUNT, CLIP = 0.9, 0.1
W = ImportanceWeights


def tabular_policy(theta):
    encode = Encoder((), STATES, jnp.float64)
    return CategoricalPolicy(encode, MLP((Linear(theta, jnp.zeros(ACTIONS)),), jnp.tanh))


def every_trajectory(problem):
    """As a batch of the behaviour policy, with what it wrote down; rewards beyond an end lie."""
    paths = problem.paths
    reward = np.where(paths.mask, paths.reward, 1e3)
    rows = episodes_of(paths.state, paths.action, reward, paths.next_state, problem.mdp.terminal)
    log_beta = jnp.log(jnp.asarray(problem.setting.behaviour))[rows.state, rows.action]
    step = Transition(
        rows.state, rows.action, rows.reward, rows.next_state, rows.terminated, rows.truncated,
        log_beta,
    )  # fmt: skip
    return jax.tree.map(jnp.asarray, EpisodeBatch(step, rows.mask))


def old_policy(problem, batch):
    return Categorical(
        jnp.log(jnp.asarray(problem.setting.behaviour))[batch.transition.observation]
    )


@functools.cache
def expected_direction(weights, episodes, baseline):
    """Σ over all batches of β's probability times the estimate at another π."""
    with jax.enable_x64(True):
        problem = enumerated(DISCOUNT)
        algorithm = OffPolicyPG(
            discount=DISCOUNT, weights=weights, clip=CLIP, baseline=baseline, discount_scores=True
        )
        whole, theta = every_trajectory(problem), jnp.asarray(problem.theta)
        single = np.asarray(problem.behaviour)
        columns = np.indices([single.size] * episodes).reshape(episodes, -1).T

        def estimate(columns):
            batch = jax.tree.map(lambda x: x[:, columns], whole)
            old = old_policy(problem, batch)
            loss = lambda theta: algorithm.loss(tabular_policy(theta), batch, old)[0]
            return -jax.grad(loss)(theta)

        estimates = jax.jit(lambda rows: jax.lax.map(estimate, rows, batch_size=256))(columns)
        return np.einsum("b,bsa->sa", single[columns].prod(axis=1), estimates).ravel()


def close(ours, expected):
    return np.allclose(ours, expected, rtol=1e-10, atol=1e-12)


def surrogate_gradient(problem):
    """∇L with L = E_β Σ_t γ^t Σ_a π(a|s_t) A^β_t(s_t, a): TRPO's, by recursion over states."""
    beta = jnp.asarray(problem.setting.behaviour)
    v, q = finite_horizon_values(problem.mdp, beta, horizon=HORIZON)
    visits = state_distributions(problem.mdp, beta, horizon=HORIZON)
    weight = DISCOUNT ** np.arange(HORIZON)[:, None] * visits
    gain = lambda theta: jnp.einsum("sa,tsa->ts", jax.nn.softmax(theta), q - v[..., None])
    return jax.grad(lambda theta: jnp.sum(weight * gain(theta)))(jnp.asarray(problem.theta)).ravel()


@pytest.mark.parametrize(("episodes", "baseline"), [(1, False), (2, True)], ids=["plain", "less b"])
@pytest.mark.parametrize("weights", [W.TRAJECTORY, W.PER_DECISION], ids=lambda w: w.value)
def test_trajectory_and_per_decision_weights_give_the_gradient(weights, episodes, baseline):
    """G4: at any π, and the others' mean return is free."""
    expected = enumerated(DISCOUNT).gradient
    assert close(expected_direction(weights, episodes, baseline), expected)


@pytest.mark.parametrize(("episodes", "baseline"), [(1, False), (2, True)], ids=["plain", "less b"])
def test_per_step_weights_give_the_gradient_of_the_surrogate(episodes, baseline, x64):
    """G4: and not that of J."""
    problem = enumerated(DISCOUNT)
    ours = expected_direction(W.PER_STEP, episodes, baseline)
    assert close(ours, surrogate_gradient(problem))
    assert np.linalg.norm(ours - problem.gradient) > 1e-2 * np.linalg.norm(problem.gradient)


ROWS = {W.CLIPPED: "clipped-ratio", W.ONE: "no-ratio"}


@pytest.mark.parametrize("weights", ROWS, ids=lambda w: w.value)
def test_the_bias_of_the_others_is_the_lab_s(weights, x64):
    """And there a baseline is not free."""
    (row,) = named([ROWS[weights]])
    assert row.mass is not None
    mass = row.mass
    context = jax.tree.map(jnp.asarray, enumerated(DISCOUNT).context)
    expected = jax.jit(lambda context: mean(mass(context), context))(context)
    plain = expected_direction(weights, 1, False)
    assert close(plain, expected)
    assert np.linalg.norm(plain - enumerated(DISCOUNT).gradient) > 1e-2
    assert np.linalg.norm(plain - expected_direction(weights, 2, True)) > 1e-2


def test_self_normalised_weights_by_hand():
    """E[Σ ρ_i X_i / Σ ρ_i] over all pairs, from the trajectories' own probabilities."""
    problem = enumerated(DISCOUNT)
    target, behaviour = np.asarray(problem.target), np.asarray(problem.behaviour)
    powers = DISCOUNT ** np.arange(HORIZON)[:, None]
    to_go = np.cumsum((powers * problem.paths.reward)[::-1], axis=0)[::-1]
    x = np.einsum("tn,tnp->np", to_go, problem.score)
    ratio, total = target / behaviour, (target / behaviour)[:, None] + target / behaviour
    # Both of a pair count alike: twice the first one's part.
    chance = behaviour[:, None] * behaviour
    expected = np.einsum("ij,i,ip->p", 2 * chance / total, ratio, x)
    ours = expected_direction(W.SELF_NORMALISED, 2, False)
    assert close(ours, expected)
    assert np.linalg.norm(ours - problem.gradient) > 1e-3
    assert np.linalg.norm(ours - expected_direction(W.SELF_NORMALISED, 2, True)) > 1e-3


def test_weights_by_hand(x64):
    """Two episodes, one ended after two steps; γ = ½, without and with γ^t."""
    reward = jnp.array([[1.0, 2.0], [4.0, 8.0], [16.0, 99.0]])
    mask = jnp.array([[True, True], [True, True], [True, False]])
    ends = jnp.array([[False, False], [False, True], [False, False]])
    cut = jnp.array([[False, False], [False, False], [True, True]])
    state = jnp.zeros((3, 2), jnp.int32)
    batch = EpisodeBatch(Transition(state, state, reward, state, ends, cut), mask)
    log_ratio = jnp.log(jnp.array([[2.0, 0.5], [0.5, 3.0], [4.0, 1.0]]))
    first, second = np.array([7.0, 12.0, 16.0]), np.array([6.0, 8.0, 0.0])
    cases = {
        W.PER_STEP: ([2, 0.5, 4] * (first - second), [0.5, 3, 0] * (second - first)),
        W.TRAJECTORY: (4 * (first - second), 1.5 * (second - first)),
        W.PER_DECISION: (
            np.array([2 + 4 / 2 + 64 / 4, 4 + 64 / 2, 64]) - [2, 1, 4] * second,
            np.array([1 + 12 / 2, 12, 0]) - [0.5, 1.5, 0] * first,
        ),
        W.SELF_NORMALISED: (4 / 2.75 * (first - second), 1.5 / 2.75 * (second - first)),
        W.CLIPPED: ([1.2, 0.8, 1.2] * (first - second), [0.8, 1.2, 0] * (second - first)),
        W.ONE: (first - second, second - first),
    }
    assert set(cases) == set(W)
    for weights, columns in cases.items():
        algorithm = OffPolicyPG(discount=0.5, weights=weights)
        expected = np.stack(columns, axis=-1)
        expected[2, 1] = 0
        assert np.allclose(algorithm.score_weights(log_ratio, batch), expected), weights
        powered = dataclasses.replace(algorithm, discount_scores=True)
        ours = powered.score_weights(log_ratio, batch)
        assert np.allclose(ours, expected * np.array([[1], [0.5], [0.25]])), weights


class Episodes:
    """A few episodes of a policy, which is what updates begin with."""

    def __init__(self):
        problem = enumerated(DISCOUNT)
        whole = every_trajectory(problem)
        self.batch = jax.tree.map(lambda x: x[:, 3:40:7], whole)
        self.algorithm = OffPolicyPG(discount=DISCOUNT, learning_rate=0.1)
        self.start = tabular_policy(jnp.log(jnp.asarray(problem.setting.behaviour)))

    def after(self, *, updates=1, max_kl=None, **options):
        """What updates make of the policy, as a table, and the last one's metrics."""

        def update(state, max_kl):
            algorithm = dataclasses.replace(self.algorithm, max_kl=max_kl, **options)
            return algorithm.update(state, self.batch, key=jr.key(0))

        state, compiled = self.algorithm.init(self.start), jax.jit(update)
        for _ in range(updates):
            state, metrics = compiled(state, None if max_kl is None else jnp.asarray(max_kl))
            yield self.table(state.trainable.model), metrics

    def table(self, policy):
        return np.asarray(jax.nn.softmax(policy(jnp.arange(STATES), ())[0].logits))

    def divergence(self, table):
        """Mean of KL(old ‖ new) over the steps taken."""
        old, seen = self.table(self.start), np.asarray(self.batch.transition.observation)
        by_state = (old * np.log(old / table)).sum(axis=1)
        return by_state[seen[np.asarray(self.batch.mask)]].mean()


def test_steps_stop_once_the_divergence_exceeds_its_limit(x64):
    """The step that goes beyond is taken, the one after it is not."""
    episodes = Episodes()
    # What acted is written down, so that updates of one step go on where the last one stopped.
    free = [table for table, _ in episodes.after(updates=4, num_epochs=1)]
    divergences = [episodes.divergence(table) for table in free]
    assert np.all(np.diff(divergences) > 1e-4) and divergences[0] > 1e-4
    below = [0.0, *divergences[:2], np.inf]
    for steps, low, high in zip(range(1, 5), below, [*divergences[:3], np.inf], strict=True):
        ((table, metrics),) = episodes.after(num_epochs=4, max_kl=(low + high) / 2)
        assert np.allclose(table, free[steps - 1], rtol=1e-12)
        assert np.isclose(metrics["train/kl"], divergences[steps - 1], rtol=1e-9)
        assert np.isclose(metrics["train/steps_fraction"], steps / 4)
    ((table, _),) = episodes.after(num_epochs=4)
    assert np.allclose(table, free[3], rtol=1e-12)


def test_what_is_reported_is_of_the_policy_after_the_update(x64):
    episodes = Episodes()
    ((table, metrics),) = episodes.after(num_epochs=3, entropy_coef=0.3)
    step, mask = episodes.batch.transition, np.asarray(episodes.batch.mask)
    seen, action = np.asarray(step.observation), np.asarray(step.action)
    old = episodes.table(episodes.start)
    ratio = np.where(mask, (table / old)[seen, action], 1).prod(axis=0)
    share = ratio.sum() ** 2 / (ratio**2).sum() / ratio.size
    assert np.isclose(metrics["train/effective_sample_share"], share) and share < 0.99
    entropy = -(table * np.log(table)).sum(axis=1)[seen[mask]]
    assert np.isclose(metrics["train/entropy_loss"], -entropy.mean())
    bonus = 0.3 * entropy.sum() / ratio.size
    assert np.isclose(metrics["train/loss"], metrics["train/policy_gradient_loss"] - bonus)


OUT_OF_RANGE = [
    ("discount", 1.01, r"`discount` must lie in \[0, 1\]; got 1.01"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("clip", 1.5, r"`clip` must lie in \(0, 1\]; got 1.5"),
    ("num_epochs", 0, r"`num_epochs` must be a whole number, at least 1; got 0"),
    ("max_kl", 0.0, r"`max_kl` must lie in \(0, inf\); got 0.0"),
    ("entropy_coef", -0.1, r"`entropy_coef` must lie in \[0, inf\); got -0.1"),
    ("max_grad_norm", float("nan"), r"`max_grad_norm` must lie in \(0, inf\); got nan"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        OffPolicyPG(**{name: value})
