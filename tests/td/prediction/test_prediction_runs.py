"""Prediction on problems: what is learned tends to the exact values; the book's figure again."""

import inspect

import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.td.prediction.monte_carlo import MonteCarlo, Visits
from rewardtogo.td.prediction.n_step import NStepTD
from rewardtogo.td.prediction.one_step import TD0
from rewardtogo.td.prediction.run import predict
from rewardtogo.td.prediction.traces import TDLambda


WALK = problem("RandomWalk-5").mdp
EVEN = np.full((7, 2), 0.5)


def book_walk(rng, *, n, size, episodes):
    """Errors after each episode of n-step TD on the 19 states; Sutton and Barto, section 7.1."""
    values, exact, errors = np.zeros(21), np.arange(-20, 21, 2) / 20, []
    for _ in range(episodes):
        states, rewards, end, t = [10], [0.0], np.inf, 0
        while True:
            if t < end:
                states.append(states[t] + rng.choice([-1, 1]))
                rewards.append({0: -1.0, 20: 1.0}.get(states[-1], 0.0))
                end = t + 1 if states[-1] in (0, 20) else end
            tau = t + 1 - n
            if tau >= 0:
                target = sum(rewards[tau + 1 : int(min(tau + n, end)) + 1])
                target += values[states[tau + n]] if tau + n < end else 0
                values[states[tau]] += size * (target - values[states[tau]])
            if tau == end - 1:
                break
            t += 1
        errors.append(np.sqrt(np.mean((values - exact)[1:-1] ** 2)))
    return errors


@pytest.mark.parametrize(("n", "size"), [(1, 0.8), (4, 0.4)])
def test_the_books_figure(n, size):
    """Mean errors by episode are those of a plain loop over the book's pseudocode."""
    mdp = problem("RandomWalk-19").mdp
    found = predict(NStepTD(n=n), mdp, np.full((21, 2), 0.5), step_sizes=[size], seeds=300)
    rng = np.random.default_rng(1)
    loop = np.array([book_walk(rng, n=n, size=size, episodes=10) for _ in range(100)])
    ours = found.errors[0]
    spread = np.sqrt(loop.var(axis=0) / len(loop) + ours.var(axis=0) / len(ours))
    # Of one step, the first episode of every run has the same error: up to float32.
    assert np.all(np.abs(loop.mean(axis=0) - ours.mean(axis=0)) < 4.5 * spread + 1e-6)
    # Figure 7.2: the best of n = 4 lies between 0.25 and 0.28, that of n = 1 near 0.35.
    mean = found.mean_errors()[0]
    assert mean is not None
    assert (0.25 < mean.estimate < 0.28) if n == 4 else (0.33 < mean.estimate < 0.36)


@pytest.mark.parametrize(
    "method",
    [
        TD0(step_decay=0.7),
        TDLambda(step_decay=0.7, trace_decay=0.6),
        NStepTD(n=3, step_decay=0.7),
        MonteCarlo(),
        MonteCarlo(visits=Visits.EVERY),
    ],
    ids=repr,
)
def test_the_values_tend_to_the_exact_ones(method):
    found = predict(method, WALK, EVEN, step_sizes=[1.0], episodes=3000, seeds=4)
    assert np.allclose(found.exact[1:-1], np.arange(1, 6) / 6)
    assert np.all(found.errors[0, :, -1] < 0.05)
    mean = found.values[0].mean(axis=0)
    assert np.abs(mean - found.exact)[found.counted].max() < 0.03
    assert np.all(found.values[:, :, [0, -1]] == 0)


def test_errors_are_of_the_values(x64):
    """The last error is that of the values returned; all step sizes meet the same episodes."""
    found = predict(
        TD0(), WALK, EVEN, step_sizes=[0.2, 0.2, 0.9], episodes=5, seeds=3, initial_value=0.5
    )
    gap = (found.values - found.exact)[:, :, 1:-1]
    assert np.allclose(found.errors[:, :, -1], np.sqrt(np.mean(gap**2, axis=2)), rtol=1e-12)
    assert np.array_equal(found.errors[0], found.errors[1])
    assert not np.array_equal(found.errors[0], found.errors[2])
    assert len({tuple(row) for row in found.errors[0]}) == 3
    first = predict(TD0(), WALK, EVEN, step_sizes=[0.2], episodes=2, seeds=3, initial_value=0.5)
    assert np.array_equal(first.errors[0], found.errors[0, :, :2])


def test_truncated_episodes():
    """Temporal differences learn from them without bias; Monte Carlo passes them over."""
    mdp = problem("Forest").mdp
    uniform = np.full((3, 2), 0.5)
    found = predict(
        TD0(step_decay=0.7), mdp, uniform, step_sizes=[1.0], episodes=3000, seeds=2, max_steps=20
    )
    assert found.truncated == 1
    assert np.abs(found.values[0] / state_values(mdp, uniform) - 1).max() < 0.1
    with pytest.raises(ValueError, match="Monte Carlo learns from episodes that end"):
        predict(MonteCarlo(), mdp, uniform, step_sizes=[1.0])
    short = predict(MonteCarlo(), WALK, EVEN, step_sizes=[1.0], seeds=2, max_steps=2)
    assert short.truncated == 1 and np.all(short.values == 0)


def test_only_states_that_are_met_count():
    """Always right: A and B of the five are never met, nor is the left end."""
    right = np.tile([0.0, 1.0], (7, 1))
    found = predict(TD0(), WALK, right, step_sizes=[1.0], episodes=5, seeds=1)
    assert found.counted.tolist() == [False, False, False, True, True, True, False]
    assert found.errors[0, 0, -1] == 0 and found.errors[0, 0, 0] > 0


def test_noisy_rewards_and_a_policy_that_prefers():
    """The action drawn is the policy's, and independent of what comes of it."""
    transition = np.zeros((3, 2, 3))
    transition[0] = [[0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    transition[1:, :, 2] = 1
    reward = [[0.0, 5.0], [-3.0, -3.0], [0.0, 0.0]]
    mdp = tabular_mdp(
        transition,
        reward,
        [1.0, 0, 0],
        discount=0.5,
        terminal=[False, False, True],
        reward_noise=[[1.0, 0.0], [4.0, 4.0], [0.0, 0.0]],
    )
    share = 0.3
    policy = np.array([[share, 1 - share], [0.5, 0.5], [0.5, 0.5]])
    found = predict(MonteCarlo(), mdp, policy, step_sizes=[1.0], episodes=4000, seeds=4)
    assert found.exact[0] == pytest.approx(share * -0.75 + (1 - share) * 5)
    assert np.abs(found.values[0].mean(axis=0) - found.exact).max() < 0.15


BAD = [
    ({"step_sizes": [0.1, 1.2]}, r"`step_sizes` must lie in \(0, 1\]; got 1.2"),
    ({"step_sizes": []}, r"`step_sizes` must be a list of at least one; got \[\]"),
    ({"episodes": 0}, "`episodes` must be a whole number, at least 1; got 0"),
    ({"seeds": 0}, "`seeds` must be a whole number, at least 1; got 0"),
    ({"max_steps": 0}, "`max_steps` must be a whole number, at least 1; got 0"),
    ({"policy": EVEN * 0.9}, r"`policy` at \[0\] is no distribution.*its sum 0.9"),
    ({"step_sizes": ["x"]}, "`step_sizes` must be an array of numbers"),
    ({"step_sizes": [0.1, np.nan]}, r"`step_sizes` must lie in \(0, 1\]; got nan"),
    ({"policy": "uniform"}, "`policy` must be an array of numbers"),
    ({"policy": EVEN * np.nan}, r"`policy` at \[0\] is no distribution: its least entry is nan"),
    ({"policy": EVEN[:5]}, r"each of 7 states and a column for each of 2 actions; got shape"),
    ({"initial_value": np.zeros(5)}, "one number or one for each of 7 states"),
    ({"initial_value": np.nan}, "`initial_value` must be finite; got nan"),
]


def test_a_problem_is_no_mdp():
    with pytest.raises(ValueError, match=r"the problem 'RandomWalk-5': give its `mdp`"):
        # As users call it, whose types nothing checks.
        inspect.unwrap(predict)(TD0(), problem("RandomWalk-5"), EVEN, step_sizes=[0.1])


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_bad_input(changed, message):
    with pytest.raises(ValueError, match=message):
        predict(TD0(), WALK, **({"policy": EVEN, "step_sizes": [0.1]} | changed))
