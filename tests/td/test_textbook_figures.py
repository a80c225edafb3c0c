"""Figures of Sutton and Barto (2018) again: their curves by plain loops, and what they show."""

import numpy as np
import pytest

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.td.control.one_step import DoubleQLearning, QLearning
from rewardtogo.td.control.run import control
from rewardtogo.td.prediction.monte_carlo import MonteCarlo, Visits
from rewardtogo.td.prediction.n_step import NStepTD
from rewardtogo.td.prediction.one_step import TD0
from rewardtogo.td.prediction.run import predict
from rewardtogo.td.prediction.traces import TDLambda, Trace
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize


def walks(rng, length, left, episodes):
    """Episodes of the random walk as lists of states and of rewards; the ends are 0 and n + 1."""
    for _ in range(episodes):
        states, rewards = [(length + 1) // 2], []
        while 0 < states[-1] <= length:
            states.append(states[-1] + (1 if rng.random() < 0.5 else -1))
            rewards.append({0: left, length + 1: 1.0}.get(states[-1], 0.0))
        yield states, rewards


def errors_of(learn, *, runs, length, left, start, episodes):
    """Of `learn`, which changes the values by one episode: the RMS error after each, by run."""
    states = np.arange(1, length + 1) / (length + 1)
    exact, rng = states + left * (1 - states), np.random.default_rng(1)
    errors = np.zeros((runs, episodes))
    for run in range(runs):
        values = np.full(length + 2, start)
        values[[0, -1]] = 0
        for i, episode in enumerate(walks(rng, length, left, episodes)):
            learn(values, *episode)
            errors[run, i] = np.sqrt(np.mean((values[1:-1] - exact) ** 2))
    return errors


def assert_same_curve(ours, loop):
    """Means by episode agree: within 4.5 standard errors of their difference, and float32."""
    spread = np.sqrt(loop.var(axis=0) / len(loop) + ours.var(axis=0) / len(ours))
    assert np.all(np.abs(loop.mean(axis=0) - ours.mean(axis=0)) < 4.5 * spread + 1e-6)


def td0(size):
    def learn(values, states, rewards):
        for t, reward in enumerate(rewards):
            now, after = states[t], states[t + 1]
            values[now] += size * (reward + values[after] - values[now])

    return learn


def monte_carlo(size):
    def learn(values, states, rewards):
        for state in reversed(states[:-1]):  # the only reward is the last, and γ is 1
            values[state] += size * (rewards[-1] - values[state])

    return learn


def true_online(size, trace_decay):
    """The box of section 12.5, in a table."""

    def learn(values, states, rewards):
        trace, old = np.zeros_like(values), 0.0
        for t, reward in enumerate(rewards):
            now, after = values[states[t]], values[states[t + 1]]
            error = reward + after - now
            trace *= trace_decay
            trace[states[t]] += 1 - size * trace[states[t]]
            values += size * (error + now - old) * trace
            values[states[t]] -= size * (now - old)
            old = after

    return learn


def test_figure_6_2():
    """Right: on the walk of five states TD(0) is better than Monte Carlo, at every step size."""
    mdp, even = problem("RandomWalk-5").mdp, np.full((7, 2), 0.5)
    kinds = (
        (TD0(), td0, [0.05, 0.1, 0.15]),
        (MonteCarlo(visits=Visits.EVERY, step_decay=0.0), monte_carlo, [0.01, 0.02, 0.03, 0.04]),
    )
    curves = []
    for method, loop, sizes in kinds:
        found = predict(method, mdp, even, step_sizes=sizes, episodes=100, initial_value=0.5)
        plain = errors_of(loop(sizes[1]), runs=60, length=5, left=0, start=0.5, episodes=100)
        assert_same_curve(found.errors[1], plain)
        curves.append(found.errors.mean(axis=1))
    td, mc = curves
    assert np.all(td[:, 24:].max(axis=0) < mc[:, 24:].min(axis=0))
    # All begin at the error of 1/2 everywhere, 0.236; the larger of TD's steps is the faster at
    # first and the worse in the end.
    assert np.all(np.abs(np.concatenate(curves)[:, 0] - 0.236) < 0.03)
    assert np.all(np.diff(td[:, 9]) < 0) and np.all(np.diff(td[:, 99]) > 0)


@pytest.mark.slow
def test_figure_7_2():
    """Of n-step methods at their best step sizes an n between the extremes is best, about 0.26."""
    mdp, even = problem("RandomWalk-19").mdp, np.full((21, 2), 0.5)
    sizes, best = np.arange(1, 11) / 10, {}
    for n in (1, 2, 4, 8, 16):
        found = predict(NStepTD(n=n), mdp, even, step_sizes=sizes, seeds=200)
        best[n] = found.errors.mean(axis=(1, 2)).min()
    assert best[1] > best[2] > best[4] < best[8] < best[16]
    assert 0.25 < best[4] < 0.28 and 0.33 < best[1] < 0.36


def test_figure_12_8():
    """True online TD(λ) on 19 states: by the box, and best at a λ between the extremes."""
    mdp, even, sizes = problem("RandomWalk-19").mdp, np.full((21, 2), 0.5), [0.4, 0.8, 0.9]
    found = predict(TDLambda(trace_decay=0.8), mdp, even, step_sizes=sizes)
    loop = true_online(0.4, 0.8)
    assert_same_curve(
        found.errors[0], errors_of(loop, runs=60, length=19, left=-1, start=0.0, episodes=10)
    )
    errors = found.errors.mean(axis=(1, 2))
    assert 0.24 < errors[0] < 0.27
    # As the figure's curve it bends up slowly; figure 12.6's, of accumulating traces, does not.
    accumulating = TDLambda(trace=Trace.ACCUMULATING, trace_decay=0.8)
    steep = predict(accumulating, mdp, even, step_sizes=sizes).errors.mean(axis=(1, 2))
    assert errors[2] < 0.36 and steep[2] > 0.45


@pytest.mark.slow
def test_figure_12_8_over_lambda():
    mdp, even, best = problem("RandomWalk-19").mdp, np.full((21, 2), 0.5), {}
    for trace_decay in (0.0, 0.4, 0.8, 0.95, 1.0):
        found = predict(
            TDLambda(trace_decay=trace_decay),
            mdp,
            even,
            step_sizes=[0.02, *np.arange(1, 11) / 10],
            seeds=200,
        )
        best[trace_decay] = found.errors.mean(axis=(1, 2)).min()
    assert best[0.0] > best[0.4] > best[0.8] < best[0.95] < best[1.0]
    assert 0.33 < best[0.0] < 0.36 and best[0.8] < 0.27


STEPS, BLOCKS = 400, 5


def left_turns(rng, *, double):
    """Of one run of example 6.7: how often left was taken in A, and episodes, in each block."""
    q, counts = np.zeros((2, 2, 10)), np.zeros((BLOCKS, 2))
    state = 0
    for t in range(STEPS):
        values = q[0, state] + q[1, state] if double else q[0, state]
        best = np.flatnonzero(values == values.max())
        action = rng.integers(10) if rng.random() < 0.1 else rng.choice(best)
        to_b, i = state == 0 and action < 5, int(double and rng.random() < 0.5)
        judge = 1 - i if double else i
        reward = rng.normal(-0.1, 1) if state == 1 else 0.0
        target = reward + (q[judge, 1, np.argmax(q[i, 1])] if to_b else 0.0)
        q[i, state, action] += 0.1 * (target - q[i, state, action])
        counts[t * BLOCKS // STEPS] += [to_b, not to_b]
        state = int(to_b)
    return counts


@pytest.mark.parametrize("double", [False, True])
def test_figure_6_5(double):
    """The share of left, which no policy wants more often than ε/2: regret counts it, by 0.1.

    Q-learning takes it most of the time at first, and in the end still twice as often as it
    should; double Q-learning does not.
    """
    kind = DoubleQLearning if double else QLearning
    method = kind(exploration=EpsilonGreedyExploration(0.1), step_size=ConstantStepSize(0.1))
    found = control(problem("MaximisationBias"), method, steps=STEPS, seeds=1000)
    at = np.arange(1, BLOCKS + 1) * len(found.steps) // BLOCKS - 1
    lefts = np.diff(found.regret[:, at] / 0.1, prepend=0)
    episodes = np.add.reduceat(found.episodes, at - at[0], axis=1)
    rng = np.random.default_rng(2)
    plain = np.stack([left_turns(rng, double=double) for _ in range(100)])
    share = lefts.sum(axis=0) / episodes.sum(axis=0)
    expected = plain[:, :, 0].sum(axis=0) / plain[:, :, 1].sum(axis=0)
    error = (plain[:, :, 0] - expected * plain[:, :, 1]).std(axis=0) / plain[:, :, 1].mean(axis=0)
    assert np.all(np.abs(share - expected) < 4.5 * error / np.sqrt(len(plain)))
    if double:
        assert share[-1] < 0.08
    else:
        assert share[0] > 0.75 and 0.1 < share[-1] < 0.3
