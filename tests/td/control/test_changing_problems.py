"""Runs in which the problem changes: at the step it should, and judged by what it is then."""

import dataclasses

import numpy as np
import pytest

from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.problem import Change, Problem
from rewardtogo.td.control.one_step import QLearning
from rewardtogo.td.control.run import control
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize


def paying(*rewards, change=None):
    """One state, left by no action; what each pays."""
    mdp = tabular_mdp(
        np.ones((1, len(rewards), 1)), [rewards], [1.0], discount=0.5, terminal=[False]
    )
    return Problem(name=f"pays {rewards}", mdp=mdp, source="", max_steps=7, change=change)


@pytest.mark.parametrize("step", [1, 37, 40, 999])
def test_it_changes_at_its_step(step):
    """What pays nothing pays 1 from then on: the sum of rewards says when that was."""
    named = paying(0.0, 0.0, change=Change(step, paying(1.0, 1.0)))
    result = control(named, QLearning(), steps=1000, seeds=2)
    assert np.array_equal(result.steps, np.union1d(np.arange(10, 1001, 10), step))
    expected = np.maximum(result.steps - step, 0)
    assert np.all(result.reward == expected)
    assert np.all(result.optimum == np.where(expected > 0, 2.0, 0.0))
    assert np.allclose(result.value, result.optimum)
    assert result.exact.optimum == pytest.approx(2.0)


def test_error_and_regret_are_of_the_problem_as_it_is():
    """Best is the first action, then the second, and each is taken on half of the steps.

    So the regret of a step is γ^k/2 in the mean, k = 0..6 within an episode, before and after.
    """
    named = paying(1.0, 0.0, change=Change(700, paying(0.0, 1.0)))
    method = QLearning(EpsilonGreedyExploration(1.0), ConstantStepSize(1.0))
    result = control(named, method, steps=1400, seeds=50)
    at = int(np.flatnonzero(result.steps == 700)[0])
    for point in (at, -1):
        assert np.all(result.error[:, point] < 1e-5)
        assert np.allclose(result.value[:, point], 2.0)
    assert np.allclose(result.action_values, [1.0, 2.0])
    weights = 0.5 ** np.arange(7)
    noise = np.sqrt(100 * np.sum(weights**2) / 4 / 50)
    for regret in (result.regret[:, at], result.regret[:, -1] - result.regret[:, at]):
        assert abs(regret.mean() - 100 * weights.sum() / 2) < 4 * noise


def test_before_the_change_nothing_is_different():
    maze = problem("BlockingMaze")
    still = dataclasses.replace(maze, change=None)
    one, other = (control(p, QLearning(), steps=2000, seeds=2) for p in (maze, still))
    assert np.array_equal(one.steps, other.steps)
    for name in ("error", "value", "episodes", "regret", "reward"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert np.array_equal(ours[:, :50], theirs[:, :50])
    assert not np.array_equal(one.regret, other.regret)


def test_a_problem_may_change_more_than_once():
    named = paying(0.0, change=Change(100, paying(1.0, change=Change(300, paying(-1.0)))))
    result = control(named, QLearning(), steps=1000, seeds=1)
    assert result.reward[0, -1] == 200 - 700
    assert result.optimum[[0, 15, -1]].tolist() == pytest.approx([0.0, 2.0, -2.0])


@pytest.mark.parametrize("steps", [999, 1000])
def test_a_change_after_the_last_step_is_refused(steps):
    with pytest.raises(ValueError, match=f"`steps` is {steps}, and the problem changes after 1000"):
        control(problem("BlockingMaze"), QLearning(), steps=steps)
