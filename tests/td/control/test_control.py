"""Tabular control against the book's pseudocode, step by step, and against exact answers."""

import operator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import action_values
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.problem import Problem
from rewardtogo.td.control.methods import METHODS
from rewardtogo.td.control.one_step import DoubleQLearning, ExpectedSarsa, QLearning, Sarsa
from rewardtogo.td.control.optimum import control_optimum
from rewardtogo.td.control.run import (
    ControlState,
    RandomNumbers,
    RunningCounts,
    control,
    control_problem,
    stepped,
)
from rewardtogo.td.steps.dynamics import DRAWS, dynamics
from rewardtogo.td.steps.exploration import BoltzmannExploration, EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize, PolynomialStepSize
from rewardtogo.td.values.action_values import untouched_table


STEPS, LIMIT, START = 3000, 9, 0.3
UNIFORM = EpsilonGreedyExploration(1.0)


def epsilon_greedy(q):
    best = np.flatnonzero(q == q.max())
    p = np.full(q.size, 0.2 / q.size)
    p[best] += 0.8 / best.size
    return p


def boltzmann(q):
    weights = [np.exp(v / 0.5) for v in q]
    return np.array(weights) / sum(weights)


def pick(p, draw):
    """The action at `draw`: the first whose cumulative sum exceeds it."""
    return int(np.searchsorted(np.cumsum(p), draw, side="right"))


class Book:
    """The four boxes of Sutton and Barto (2018), chapter 6, in NumPy and with loops."""

    def __init__(self, method, pi, alpha, gamma, q):
        self.method, self.pi, self.alpha, self.gamma = method, pi, alpha, gamma
        self.q = [q.copy(), q.copy()]
        self.n = np.zeros((2, *q.shape))
        self.planned = None

    def act(self, s, draw):
        if self.planned is not None:
            return self.planned
        q = (self.q[0] + self.q[1]) / 2 if self.method == "double-q-learning" else self.q[0]
        return pick(self.pi(q[s]), draw)

    def learn(self, seen, draws):
        s, a, r, s2, terminated, truncated = seen
        i, q = 0, self.q[0][s2]
        if self.method == "q-learning":
            value = max(q)
        elif self.method == "expected-sarsa":
            value = sum(p * v for p, v in zip(self.pi(q), q, strict=True))
        elif self.method == "sarsa":
            following = pick(self.pi(q), draws[0])
            value = q[following]
            self.planned = None if terminated or truncated else following
        else:
            i = 0 if draws[0] < 0.5 else 1
            value = self.q[1 - i][s2][int(np.argmax(self.q[i][s2]))]
        target = r if terminated else r + self.gamma * value
        self.n[i][s, a] += 1
        self.q[i][s, a] += self.alpha(self.n[i][s, a]) * (target - self.q[i][s, a])


@jax.jit
def recorded(method, place, q):
    """A walk of `STEPS`: its end, and draws, states, actions and rewards along it."""
    numbers = jr.uniform(jr.key(3), (STEPS, 2 + DRAWS))
    draws = RandomNumbers(numbers[:, 0], numbers[:, 1 : 1 + method.num_draws], numbers[:, 2:])
    zero = jnp.zeros(())
    first = ControlState(
        method.init(untouched_table(q)),
        place.dynamics.begin(jnp.asarray(0.0)),
        RunningCounts(zero, zero, zero, zero, zero + 1, zero),
    )

    def step(walk, draws):
        action = method.act(walk.learned, walk.place.state, walk.place.time == 0, draws.act)
        _, seen = place.dynamics.step(walk.place, action, draws.process)
        return stepped(walk, draws, method, place), seen

    return *jax.lax.scan(step, first, draws), draws


@pytest.mark.parametrize("name", ["q-learning", "double-q-learning", "sarsa", "expected-sarsa"])
@pytest.mark.parametrize(
    ("exploration", "pi"),
    [
        (EpsilonGreedyExploration(0.2), epsilon_greedy),
        (BoltzmannExploration(0.5), boltzmann),
    ],
)
def test_every_step_is_the_books(name, exploration, pi, x64):
    """Actions and values over a recorded stream, with ends, cuts and a start that is not 0."""
    mdp = problem("FrozenLake-v1", discount=0.9).mdp
    place = control_problem(dynamics(mdp, max_steps=LIMIT), control_optimum(mdp))
    gaps = place.exact.max(axis=1, keepdims=True) - place.exact
    q = np.where(place.dynamics.terminal[:, None], 0.0, np.full(gaps.shape, START))
    method = METHODS[name](exploration=exploration, step_size=PolynomialStepSize(0.7))
    end, *stream = recorded(method, place, jnp.asarray(q))
    seen, draws = jax.tree.map(np.asarray, stream)
    book = Book(name, pi, lambda n: n**-0.7, 0.9, q)
    returns, regret, episodes, k, earned = 0.0, 0.0, 0, 0, 0.0
    for t in range(STEPS):
        assert book.act(seen.state[t], draws.act[t]) == seen.action[t]
        regret += 0.9**k * gaps[seen.state[t], seen.action[t]]
        earned, k = earned + 0.9**k * seen.reward[t], k + 1
        book.learn(jax.tree.map(operator.itemgetter(t), seen), draws.update[t])
        if seen.terminated[t] or seen.truncated[t]:
            returns, episodes, k, earned = returns + earned, episodes + 1, 0, 0.0
    learned = sum(book.q) / 2 if name == "double-q-learning" else book.q[0]
    assert np.abs(method.values(end.learned).q - learned).max() < 1e-12
    assert seen.truncated.sum() > 100 and seen.terminated.sum() > 100
    assert end.tally.episodes == episodes
    assert abs(end.tally.returns - returns) < 1e-12 * abs(returns)
    assert abs(end.tally.regret - regret) < 1e-12 * regret
    assert end.tally.reward == seen.reward.sum()


def test_values_of_terminal_states_stay_zero():
    named = problem("FrozenLake-v1")
    result = control(named, QLearning(), steps=5000, seeds=2, initial_value=1.0)
    assert np.all(result.action_values[:, np.asarray(named.mdp.terminal)] == 0)


def two_stage():
    """Sutton and Barto (2018), example 6.7: from B ten actions, each paying N(-0.1, 1)."""
    transition = np.zeros((3, 10, 3))
    transition[0, :5, 1] = transition[0, 5:, 2] = transition[1:, :, 2] = 1
    reward, noise = np.zeros((3, 10)), np.zeros((3, 10))
    reward[1], noise[1] = -0.1, 1.0
    mdp = tabular_mdp(
        transition,
        reward,
        [1.0, 0.0, 0.0],
        discount=1.0,
        terminal=[False, False, True],
        reward_noise=noise,
    )
    return Problem(name="two-stage", mdp=mdp, source="", max_steps=5)


def test_the_bias_of_the_maximum_and_its_cure():
    """Under a constant α and even exploration Q(B, a) is N(-0.1, α/(2-α)), all independent.

    So Q(A, left) has the mean of the largest of ten such numbers, which is -0.1 + 1.538753 σ; for
    double Q-learning, whose tables saw different rewards, it has the mean -0.1 of any of them.
    """
    alpha, seeds = 0.1, 200
    sigma = np.sqrt(alpha / (2 - alpha))
    for kind, expected in ((QLearning, -0.1 + 1.538753 * sigma), (DoubleQLearning, -0.1)):
        method = kind(exploration=UNIFORM, step_size=ConstantStepSize(alpha))
        result = control(two_stage(), method, steps=20_000, seeds=seeds)
        left = result.action_values[:, 0, :5].mean(axis=1)
        assert abs(left.mean() - expected) < 4 * left.std() / np.sqrt(seeds) < 0.06


@pytest.mark.parametrize("kind", [QLearning, DoubleQLearning])
def test_converges_to_the_optimum(kind):
    """With n^-0.7 and every pair visited again and again; within 1 % of the values."""
    result = control(problem("Forest"), kind(exploration=UNIFORM), steps=400_000, seeds=2)
    assert result.error[:, -1].max() < 0.01 * np.abs(result.exact.action_values).max()
    assert np.all(result.error[:, -1] < result.error[:, 0] / 2)


@pytest.mark.parametrize("kind", [Sarsa, ExpectedSarsa])
def test_on_policy_methods_learn_the_value_of_the_exploring_policy(kind):
    named = problem("Forest")
    result = control(named, kind(exploration=UNIFORM), steps=400_000, seeds=2)
    exact = action_values(named.mdp, np.full((3, 2), 0.5))
    assert np.abs(result.action_values - exact).max() < 0.2
    assert np.abs(exact - result.exact.action_values).max() > 1  # and not the optimum


def test_along_the_cliff():
    """Sutton and Barto (2018), example 6.6: Q-learning finds the edge and SARSA the safer path."""
    named, rate = problem("CliffWalking-v1"), ConstantStepSize(0.5)
    explore = EpsilonGreedyExploration(0.1)
    sharp, safe = (
        control(named, kind(exploration=explore, step_size=rate), steps=200_000, seeds=4)
        for kind in (QLearning, Sarsa)
    )
    assert np.all(sharp.value[:, -1] == -13)
    # The figure shows about -25 for SARSA and -50 for Q-learning.
    assert np.nanmean(safe.returns[:, 50:]) > np.nanmean(sharp.returns[:, 50:]) + 10
    assert np.median(safe.value[:, 50:]) < -13
