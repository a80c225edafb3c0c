"""REINFORCE against the exact gradient: its weights and loss, summed over all trajectories."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.reinforce import REINFORCE, Baseline
from rewardtogo.algorithms.reinforce_baselines import PastReturns, WithBaseline, past_returns
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import MLP, Linear
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.nn.values import StateValue
from rewardtogo.tabular.exact.gradient import finite_horizon_gradient
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.types import EpisodeBatch, Transition


DISCOUNT, STATES, ACTIONS = 0.8, 3, 2


def tabular_policy(theta):
    encode = Encoder((), STATES, jnp.float64)
    return CategoricalPolicy(encode, MLP((Linear(theta, jnp.zeros(ACTIONS)),), jnp.tanh))


def tabular_value(values):
    encode = Encoder((), STATES, jnp.float64)
    return StateValue(encode, MLP((Linear(values[:, None], jnp.zeros(1)),), jnp.tanh))


def some_state(algorithm, theta, horizon):
    """Any policy, and a baseline that other batches might have left: numbers of no meaning."""
    policy, numbers = tabular_policy(theta), jnp.linspace(0.7, -1.3, horizon + STATES)
    match algorithm.baseline:
        case Baseline.LEARNED:
            models = WithBaseline(policy, tabular_value(numbers[:STATES]))
        case Baseline.PAST_MEAN_BY_TIME:
            models = WithBaseline(policy, PastReturns(numbers[:horizon], jnp.array(4.0)))
        case Baseline.PAST_MEAN:
            state = algorithm.init(policy)
            return eqx.tree_at(lambda s: s.baseline.mean, state, jnp.array(0.7))
        case _:
            models = policy
    return algorithm.init(models)


class Problem:
    """An MDP where some episodes end early, and every episode of `horizon` steps as a batch."""

    def __init__(self, horizon):
        mdp = garnet(
            num_states=STATES, num_actions=ACTIONS, num_terminal=1, discount=DISCOUNT, key=jr.key(3)
        )
        self.theta = jr.normal(jr.key(4), (STATES, ACTIONS), jnp.float64)
        paths = enumerate_trajectories(mdp, horizon=horizon)
        terminated = np.asarray(mdp.terminal)[paths.next_state]
        cut = (np.arange(horizon)[:, None] == horizon - 1) & ~terminated
        # What stands after an episode's end is never to be read.
        reward = np.where(paths.mask, paths.reward, 1e3)
        fields = (paths.state, paths.action, reward, paths.next_state, terminated, cut)
        batch = EpisodeBatch(Transition(*fields), paths.mask)
        self.batch = jax.tree.map(jnp.asarray, batch)
        chances = np.asarray(jax.nn.softmax(self.theta))[paths.state, paths.action]
        self.probability = paths.dynamics * np.prod(np.where(paths.mask, chances, 1), axis=0)
        self.exact = finite_horizon_gradient(mdp, jax.nn.softmax, self.theta, horizon=horizon)

    def mixed(self, episodes):
        """So many of them, every other one ended early."""
        ended, whole = (np.flatnonzero(self.batch.mask[-1] == side) for side in (False, True))
        columns = np.stack([ended, whole[: ended.size]], axis=1).ravel()[:episodes]
        return jax.tree.map(lambda x: x[:, columns], self.batch)

    def expected_gradient(self, algorithm, episodes):
        """Σ over all batches of so many independent episodes of probability times estimate."""
        count = self.probability.size
        columns = np.stack(np.unravel_index(np.arange(count**episodes), [count] * episodes), -1)

        state = some_state(algorithm, self.theta, len(self.batch.mask))

        def estimate(columns):
            batch = jax.tree.map(lambda x: x[:, columns], self.batch)
            return -algorithm.gradient(state, batch)[0].logits.layers[0].weight

        estimates = jax.jit(jax.vmap(estimate))(jnp.asarray(columns))
        chances = self.probability[columns].prod(-1)
        assert np.allclose(chances.sum(), 1)
        return np.einsum("b,bsa->sa", chances, estimates)


@pytest.fixture(scope="module")
def problems():
    return functools.cache(Problem)


@pytest.fixture
def problem(problems, x64):
    return problems(3)


def close(ours, expected):
    return np.allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("discount_scores", [False, True])
def test_full_return_is_unbiased(problem, discount_scores):
    """The whole discounted return needs no power of γ, and is given none."""
    algorithm = REINFORCE(
        discount=DISCOUNT,
        causality=False,
        baseline=Baseline.NONE,
        discount_scores=discount_scores,
    )
    assert close(problem.expected_gradient(algorithm, 1), problem.exact)


def test_causality_is_unbiased_with_discounted_scores_only(problem):
    algorithm = REINFORCE(discount=DISCOUNT, baseline=Baseline.NONE, discount_scores=True)
    assert close(problem.expected_gradient(algorithm, 1), problem.exact)
    plain = dataclasses.replace(algorithm, discount_scores=False)
    assert not np.allclose(problem.expected_gradient(plain, 1), problem.exact, rtol=1e-2)


FACTORS = {baseline: 0.5 if baseline is Baseline.BATCH_MEAN else 1 for baseline in Baseline}


@pytest.mark.parametrize("causality", [True, False])
@pytest.mark.parametrize("baseline", FACTORS, ids=lambda b: b.value)
def test_baselines_over_all_pairs_of_episodes(baseline, causality, problems, x64):
    """Unbiased, but for the batch mean, which shrinks the gradient by 1 − 1/N."""
    problem = problems(2)
    algorithm = REINFORCE(
        discount=DISCOUNT, causality=causality, baseline=baseline, discount_scores=True
    )
    ours = problem.expected_gradient(algorithm, 2)
    assert close(ours, FACTORS[baseline] * problem.exact)


def test_weights_by_hand(x64):
    """Two episodes, one ended after two steps: returns to go, less those of the other one."""
    reward = jnp.array([[1.0, 2.0], [4.0, 8.0], [16.0, 99.0]])
    mask = jnp.array([[True, True], [True, True], [True, False]])
    ends = jnp.array([[False, False], [False, True], [False, False]])
    cut = jnp.array([[False, False], [False, False], [True, True]])
    state = jnp.zeros((3, 2), jnp.int32)
    batch = EpisodeBatch(Transition(state, state, reward, state, ends, cut), mask)
    first, second = [1 + 4 / 2 + 16 / 4, 4 + 16 / 2, 16], [2 + 8 / 2, 8, 0]
    algorithm = REINFORCE(discount=0.5)
    expected = np.stack([np.subtract(first, second), np.subtract(second, first)], axis=-1)
    expected[2, 1] = 0
    state = algorithm.init(tabular_policy(jnp.zeros((STATES, ACTIONS))))
    assert np.allclose(algorithm.weights(state, batch), expected)
    plain = dataclasses.replace(algorithm, baseline=Baseline.NONE, causality=False)
    assert np.allclose(plain.weights(state, batch), [[7, 6], [7, 6], [7, 0]])


def test_the_mean_of_past_returns_holds_none_of_this_batch(problem):
    """0 at first, then the mean of all full returns before; one number for every step."""
    algorithm = REINFORCE(discount=DISCOUNT, baseline=Baseline.PAST_MEAN)
    plain = dataclasses.replace(algorithm, baseline=Baseline.NONE)
    parts = [
        jax.tree.map(lambda x, c=c: x[:, c], problem.batch) for c in np.arange(9).reshape(3, 3)
    ]
    update = jax.jit(lambda state, batch: algorithm.update(state, batch, key=jr.key(0))[0])
    state, full = algorithm.init(tabular_policy(problem.theta)), []
    blind = plain.init(tabular_policy(problem.theta))
    for part in parts:
        none = plain.weights(blind, part)
        baseline = np.mean(full) if full else 0.0
        expected = np.where(part.mask, none - baseline, 0)
        assert np.allclose(algorithm.weights(state, part), expected, rtol=1e-6, atol=1e-6)
        full += list(np.asarray(none[0]))
        state = update(state, part)


def test_the_mean_of_past_returns_at_each_step(problem):
    """A finished episode earned 0 there and counts; the present batch is not seen."""
    algorithm = REINFORCE(discount=DISCOUNT, baseline=Baseline.PAST_MEAN_BY_TIME)
    plain = dataclasses.replace(algorithm, baseline=Baseline.NONE)
    models = WithBaseline(tabular_policy(problem.theta), past_returns((3,), jnp.float64))
    state, seen = algorithm.init(models), np.zeros((3, 0))
    update = jax.jit(lambda state, batch: algorithm.update(state, batch, key=jr.key(0))[0])
    for columns in np.arange(9).reshape(3, 3):
        part = jax.tree.map(lambda x, c=columns: x[:, c], problem.batch)
        none = np.asarray(plain.weights(plain.init(models.actor), part))
        mean = seen.mean(axis=1) if seen.size else np.zeros(3)
        expected = np.where(part.mask, none - mean[:, None], 0)
        assert np.allclose(algorithm.weights(state, part), expected, rtol=1e-10)
        seen = np.concatenate([seen, none], axis=1)
        state = update(state, part)


def test_the_learned_baseline_is_fitted_to_the_returns_after_the_step(problem):
    """Least squares over the steps taken is the mean return of each state; the step was without."""
    algorithm = REINFORCE(
        discount=DISCOUNT, baseline=Baseline.LEARNED, critic_learning_rate=0.1, critic_updates=800
    )
    first = jnp.array([3.0, -2.0, 1.0])
    state = algorithm.init(WithBaseline(tabular_policy(problem.theta), tabular_value(first)))
    plain = dataclasses.replace(algorithm, baseline=Baseline.NONE)
    blind = plain.init(tabular_policy(problem.theta))
    returns, taken = np.asarray(plain.weights(blind, problem.batch)), problem.batch.mask
    seen = np.asarray(problem.batch.transition.observation)
    less = np.where(taken, returns - np.asarray(first)[seen], 0)
    assert np.allclose(algorithm.weights(state, problem.batch), less, rtol=1e-12)

    after, metrics = jax.jit(lambda s: algorithm.update(s, problem.batch, key=jr.key(0)))(state)
    fitted = np.asarray(after.baseline.model(jnp.arange(STATES)))
    for s in np.unique(seen[taken]):
        assert np.isclose(fitted[s], returns[taken & (seen == s)].mean(), atol=1e-3)
    # Where episodes end is seen after the end only.
    (never,) = set(range(STATES)) - set(np.unique(seen[taken]))
    assert after.baseline.model.value.layers[0].weight[never, 0] == first[never]
    explained = 1 - np.var(less[taken]) / np.var(returns[taken])
    assert np.isclose(metrics["train/explained_variance"], explained)


def test_a_full_return_has_one_baseline_an_episode(problem):
    """G₀ of the others, those that have ended too: it is no return to go."""
    algorithm = REINFORCE(discount=DISCOUNT, causality=False)
    batch = problem.mixed(5)
    full = np.asarray(algorithm.outcome(batch).returns[0])
    expected = np.where(batch.mask, full - (full.sum() - full) / 4, 0)
    weight = algorithm.weights(algorithm.init(tabular_policy(problem.theta)), batch)
    assert np.allclose(weight, expected, rtol=1e-12)


class Written:
    """Four episodes, their scores by the softmax written out: `[time, episode, parameter]`."""

    def __init__(self, problem, baseline, discount_scores):
        self.algorithm = REINFORCE(
            discount=DISCOUNT, baseline=baseline, discount_scores=discount_scores
        )
        self.batch = problem.mixed(4)
        self.state = self.algorithm.init(tabular_policy(problem.theta))
        self.mask = np.asarray(self.batch.mask)
        self.returns = np.asarray(self.algorithm.outcome(self.batch).returns)
        seen, action = self.batch.transition.observation, self.batch.transition.action
        head = np.eye(ACTIONS)[action] - np.asarray(jax.nn.softmax(problem.theta))[seen]
        # The layer's weights, and its bias: the policy has one.
        rows = np.concatenate([np.eye(STATES)[seen], np.ones((*seen.shape, 1))], axis=-1)
        score = rows[..., :, None] * head[..., None, :] * self.mask[..., None, None]
        self.power = DISCOUNT ** np.arange(3)[:, None] if discount_scores else np.ones((3, 1))
        self.by_step = self.power[..., None] * score.reshape(*seen.shape, -1)
        self.score = self.by_step.sum(axis=0)
        self.estimate = np.sum(self.returns[..., None] * self.by_step, axis=0)
        self.others = [[j for j in range(4) if j != i] for i in range(4)]


@pytest.mark.parametrize("discount_scores", [False, True])
def test_the_optimal_constant_is_that_of_the_other_episodes(problem, discount_scores):
    """b = Σ⟨X, g⟩ / Σ‖g‖² over the others."""
    case = Written(problem, Baseline.OPTIMAL, discount_scores)
    ours = np.asarray(case.algorithm.weights(case.state, case.batch))
    for i, rest in enumerate(case.others):
        b = np.sum(case.estimate[rest] * case.score[rest]) / np.sum(case.score[rest] ** 2)
        expected = case.power[:, 0] * (case.returns[:, i] - b)
        assert np.allclose(ours[:, i], np.where(case.mask[:, i], expected, 0), rtol=1e-10)


@pytest.mark.parametrize("discount_scores", [False, True])
def test_the_optimal_number_of_a_step_is_that_of_the_other_episodes(problem, discount_scores):
    """b_t = Σ⟨X, g_t⟩ / Σ‖g_t‖² over the others, X of all steps."""
    case = Written(problem, Baseline.OPTIMAL_BY_TIME, discount_scores)
    ours = np.asarray(case.algorithm.weights(case.state, case.batch))
    for i, rest in enumerate(case.others):
        for t, g in enumerate(case.by_step[:, rest]):
            b = np.sum(case.estimate[rest] * g) / np.sum(g**2) if g.any() else 0.0
            expected = case.power[t, 0] * (case.returns[t, i] - b)
            assert np.isclose(ours[t, i], expected if case.mask[t, i] else 0, rtol=1e-10)


@pytest.mark.parametrize("discount_scores", [False, True])
def test_the_optimal_number_of_a_parameter_is_that_of_the_other_episodes(problem, discount_scores):
    """Parameter j's estimate is X_j − b_j g_j with b_j = ΣX_j g_j / Σg_j² over the others."""
    case = Written(problem, Baseline.OPTIMAL_BY_PARAMETER, discount_scores)
    gradient, _ = jax.jit(case.algorithm.gradient)(case.state, case.batch)
    layer = gradient.logits.layers[0]
    ours = -np.concatenate([np.ravel(layer.weight), np.ravel(layer.bias)])
    expected = np.zeros_like(ours)
    for i, rest in enumerate(case.others):
        square = np.sum(case.score[rest] ** 2, axis=0)
        product = np.sum(case.estimate[rest] * case.score[rest], axis=0)
        b = np.divide(product, square, out=np.zeros_like(square), where=square > 0)
        expected += (case.estimate[i] - b * case.score[i]) / 4
    assert (np.sum(case.score[case.others[0]] ** 2, axis=0) == 0).any()  # 0/0 is met
    assert np.allclose(ours, expected, rtol=1e-10, atol=1e-14)


def test_entropy_is_summed_over_steps_and_averaged_over_episodes(problem):
    """Its gradient is the coefficient's part of the loss, nothing after an episode's end."""
    batch, policy = problem.batch, tabular_policy(problem.theta)
    zero = jnp.zeros(batch.mask.shape)
    loss, metrics = REINFORCE(entropy_coef=0.3).loss(policy, batch, zero)
    chances = np.asarray(jax.nn.softmax(problem.theta))
    entropy = -(chances * np.log(chances)).sum(-1)[np.asarray(batch.transition.observation)]
    taken = np.asarray(batch.mask)
    assert np.allclose(loss, -0.3 * entropy[taken].sum() / taken.shape[1])
    assert np.allclose(metrics["train/entropy_loss"], -entropy[taken].mean())


def test_an_update_is_a_step_on_that_gradient(problem):
    """Adam's first step, with the global norm clipped."""
    algorithm = REINFORCE(discount=DISCOUNT, learning_rate=0.01, max_grad_norm=0.05)
    policy = tabular_policy(problem.theta)
    weight = algorithm.weights(algorithm.init(policy), problem.batch)
    gradient = jax.jit(jax.grad(lambda p: algorithm.loss(p, problem.batch, weight)[0]))(policy)
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient)))
    assert norm > 0.05
    update = jax.jit(lambda p: algorithm.update(algorithm.init(p), problem.batch, key=jr.key(0)))
    state, _ = update(policy)
    for before, after, g in zip(
        *map(jax.tree.leaves, (policy, state.trainable.model, gradient)), strict=True
    ):
        g = g * 0.05 / norm
        assert np.allclose(after, before - 0.01 * g / (jnp.abs(g) + 1e-8), rtol=1e-9)


OUT_OF_RANGE = [
    ("discount", 1.01, r"`discount` must lie in \[0, 1\]; got 1.01"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("entropy_coef", -0.1, r"`entropy_coef` must lie in \[0, inf\); got -0.1"),
    ("max_grad_norm", float("nan"), r"`max_grad_norm` must lie in \(0, inf\); got nan"),
    ("critic_learning_rate", 0.0, r"`critic_learning_rate` must lie in \(0, inf\); got 0.0"),
    ("critic_updates", 0, r"`critic_updates` must be a whole number, at least 1; got 0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        REINFORCE(**{name: value})


def test_models_that_the_baseline_cannot_use_are_refused(x64):
    policy = tabular_policy(jnp.zeros((STATES, ACTIONS)))
    table = WithBaseline(policy, past_returns((3,)))
    for baseline, models, message in [
        (Baseline.LEARNED, policy, "a `StateValue`; the models have no baseline"),
        (Baseline.LEARNED, table, "the models have a PastReturns"),
        (Baseline.PAST_MEAN_BY_TIME, policy, "past_returns.*the models have no baseline"),
        (Baseline.LEAVE_ONE_OUT, table, "the policy alone.*a PastReturns"),
        (Baseline.PAST_MEAN, table, "the policy alone.*a PastReturns"),
    ]:
        with pytest.raises(ValueError, match=message):
            REINFORCE(baseline=baseline).init(models)
