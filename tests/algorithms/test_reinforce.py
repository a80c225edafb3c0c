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
from rewardtogo.lab.enumeration import enumerate_trajectories
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import MLP, Linear
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.sources.episodes import EpisodeBatch
from rewardtogo.tabular.garnet import garnet
from rewardtogo.tabular.gradient import finite_horizon_gradient
from rewardtogo.types import Transition


DISCOUNT, STATES, ACTIONS = 0.8, 3, 2


def tabular_policy(theta):
    encode = Encoder((), STATES, jnp.float64)
    return CategoricalPolicy(encode, MLP((Linear(theta, jnp.zeros(ACTIONS)),), jnp.tanh))


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

    def expected_gradient(self, algorithm, episodes):
        """Σ over all batches of so many independent episodes of probability times estimate."""
        count = self.probability.size
        columns = np.stack(np.unravel_index(np.arange(count**episodes), [count] * episodes), -1)

        state = algorithm.init(tabular_policy(self.theta))
        state = eqx.tree_at(
            lambda s: s.past.mean, state, jnp.array(0.7)
        )  # of other batches: any number

        def estimate(columns):
            batch = jax.tree.map(lambda x: x[:, columns], self.batch)
            weight = algorithm.weights(state, batch)
            loss = lambda theta: algorithm.loss(tabular_policy(theta), batch, weight)[0]
            return -jax.grad(loss)(self.theta)

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
    for part in parts:
        none = plain.weights(state, part)
        baseline = np.mean(full) if full else 0.0
        expected = np.where(part.mask, none - baseline, 0)
        assert np.allclose(algorithm.weights(state, part), expected, rtol=1e-6, atol=1e-6)
        full += list(np.asarray(none[0]))
        state = update(state, part)


@pytest.mark.parametrize("discount_scores", [False, True])
def test_the_optimal_constant_is_that_of_the_other_episodes(problem, discount_scores):
    """b = Σ⟨X, g⟩ / Σ‖g‖² over the others, from the scores of the softmax written out."""
    algorithm = REINFORCE(
        discount=DISCOUNT, baseline=Baseline.OPTIMAL, discount_scores=discount_scores
    )
    batch = jax.tree.map(lambda x: x[:, :4], problem.batch)
    state = algorithm.init(tabular_policy(problem.theta))
    returns = dataclasses.replace(algorithm, baseline=Baseline.NONE, discount_scores=False)
    returns = np.asarray(returns.weights(state, batch))
    seen, action = batch.transition.observation, batch.transition.action
    head = np.eye(ACTIONS)[action] - np.asarray(jax.nn.softmax(problem.theta))[seen]
    # The layer's weights, and its bias: the policy has one.
    rows = np.concatenate([np.eye(STATES)[seen], np.ones((*seen.shape, 1))], axis=-1)
    score = rows[..., :, None] * head[..., None, :] * np.asarray(batch.mask)[..., None, None]
    power = DISCOUNT ** np.arange(3)[:, None] if discount_scores else np.ones((3, 1))
    g = np.einsum("tn,tnsa->nsa", power * np.ones((3, 4)), score)
    x = np.einsum("tn,tnsa->nsa", power * returns, score)
    for i, own in enumerate(algorithm.weights(state, batch).T):
        others = [j for j in range(4) if j != i]
        b = np.sum(x[others] * g[others]) / np.sum(g[others] ** 2)
        expected = np.where(batch.mask[:, i], power[:, 0] * (returns[:, i] - b), 0)
        assert np.allclose(own, expected, rtol=1e-10)


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
        *map(jax.tree.leaves, (policy, state.learner.model, gradient)), strict=True
    ):
        g = g * 0.05 / norm
        assert np.allclose(after, before - 0.01 * g / (jnp.abs(g) + 1e-8), rtol=1e-9)


OUT_OF_RANGE = [
    ("discount", 1.01, r"`discount` must lie in \[0, 1\]; got 1.01"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("entropy_coef", -0.1, r"`entropy_coef` must lie in \[0, inf\); got -0.1"),
    ("max_grad_norm", float("nan"), r"`max_grad_norm` must lie in \(0, inf\); got nan"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        REINFORCE(**{name: value})
