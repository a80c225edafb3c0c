"""L2, first half: every statement holds on random cases, and fails once a mistake is planted."""

from types import SimpleNamespace

import jax.random as jr
import numpy as np
import pytest

from rewardtogo.lab.theorems import (
    baselines,
    deterministic,
    importance,
    pathwise,
    returns,
    score,
    tasks,
    variance,
    visitation,
)
from rewardtogo.lab.theorems.linear_quadratic import LinearQuadraticProblem


MODULES = (score, baselines, variance, visitation, importance, returns, deterministic, pathwise)
THEOREMS = {theorem.name: theorem for module in MODULES for theorem in module.THEOREMS}


def failures(name, seed):
    return [c for c in THEOREMS[name].check(jr.key(seed)) if not c.holds]


def test_names_are_unique():
    assert len(THEOREMS) == sum(len(module.THEOREMS) for module in MODULES)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", list(THEOREMS))
def test_holds(name, seed):
    assert not failures(name, seed)


def without_discount(function):
    return lambda *args, discount, **rest: function(*args, **rest, discount=1.0)


def past_the_end(function):
    """Bootstraps at a terminal state."""
    return lambda reward, value, later, ends, cut, **rest: function(
        reward, value, later, ends & False, cut | ends, **rest
    )


def uncentred(task, theta):
    return np.broadcast_to(task.features, (*task.policy(theta).shape, theta.size))


def a_step_too_many(function):
    return lambda mdp, policy, *, steps=1: function(mdp, policy, steps=steps + 1)


def one_more(function):
    return lambda *args, n, **rest: function(*args, **rest, n=n + 1)


def second_moment(episodes, x):
    return episodes.mean(np.sum(x**2, axis=1))


SWAPPED = SimpleNamespace(
    batch_mean=baselines.baselines.leave_one_out, leave_one_out=baselines.baselines.batch_mean
)
TERMINAL_COUNTED = lambda mdp, policy: OCCUPANCY(mdp, policy) + np.asarray(mdp.terminal)
FROM_THE_SECOND_STEP = lambda problem, gain, *, first=0: MOMENTS(problem, gain, first=1)
FREE_ACTIONS = lambda problem, gain, state, action: np.asarray(
    ACTION_VALUE(problem, gain, state, action) + action @ problem.action_cost @ action
)
OCCUPANCY, MOMENTS = visitation.occupancy, LinearQuadraticProblem.moments
ACTION_VALUE = LinearQuadraticProblem.action_value

# What is broken, how, and which statements must notice.
PLANTED = {
    "scores that are not centred": (
        tasks.Task,
        "scores",
        uncentred,
        (
            *("log-derivative trick", "three forms of the gradient", "causality"),
            *("gradient of one reward", "equal returns", "mean over steps"),
            *("baselines without bias", "baseline summed over all times"),
            *("mean return of the batch", "best constant baseline"),
            *("best baseline by step and by parameter", "policy gradient theorem"),
            *("recursion of gradients", "trajectory ratio"),
        ),
    ),
    "returns without discount": (
        tasks,
        "_reward_to_go",
        without_discount(tasks._reward_to_go),
        (
            *("gradient with action values", "power of the discount", "returns and values"),
            *("baselines with bias", "best baseline of the state", "per-timestep ratio"),
        ),
    ),
    "no power of the discount": (
        tasks.EpisodeDistribution,
        "powers",
        property(lambda episodes: np.ones((episodes.horizon, 1))),
        ("power of the discount", "three forms of the gradient", "baselines without bias"),
    ),
    "a scaled loss": (
        score,
        "_surrogate_at",
        lambda *_: (np.zeros(()), np.zeros(())),
        ("surrogate",),
    ),
    "own sample left in": (baselines, "baselines", SWAPPED, ("mean of the batch",)),
    "a variance around 0": (variance, "_variance", second_moment, ("variance of a sum",)),
    "a step too many": (
        visitation,
        "transition_matrix",
        a_step_too_many(visitation.transition_matrix),
        ("state after k steps", "visitation and stationarity"),
    ),
    "visits without their factor": (
        visitation,
        "visitation",
        visitation.occupancy,
        ("flow of the visitation", "averages over visits", "policy gradient theorem"),
    ),
    "the end counted": (
        visitation,
        "occupancy",
        TERMINAL_COUNTED,
        ("visitation without discount",),
    ),
    "scores of the old policy": (
        importance._Reuse,
        "estimate",
        lambda reuse, weight: reuse.episodes.estimate(weight),
        ("trajectory ratio", "per-decision ratio", "per-timestep ratio", "ratio taken for one"),
    ),
    "targets without discount": (
        returns,
        "bellman_target",
        without_discount(returns.bellman_target),
        ("mean of the TD error",),
    ),
    "a reward too many": (
        returns,
        "_n_step_returns",
        one_more(returns._n_step_returns),
        ("k-step advantages",),
    ),
    "bootstrapping past the end": (
        returns,
        "_generalised_advantage",
        past_the_end(returns._generalised_advantage),
        ("generalised advantage", "generalised advantage at the extremes"),
    ),
    "advantages without discount": (
        returns,
        "_generalised_advantage",
        without_discount(returns._generalised_advantage),
        ("generalised advantage", "mean of generalised advantages"),
    ),
    "visits from the second step": (
        LinearQuadraticProblem,
        "moments",
        FROM_THE_SECOND_STEP,
        ("deterministic policy gradient", "compatible deterministic critic"),
    ),
    "actions that cost nothing": (
        LinearQuadraticProblem,
        "action_value",
        FREE_ACTIONS,
        (
            *("deterministic policy gradient", "compatible deterministic critic"),
            "off-policy deterministic gradient",
        ),
    ),
    "no log-determinant": (
        pathwise,
        "_score_squashed",
        pathwise._score,
        ("pathwise gradient, squashed Gaussian",),
    ),
    "a tanh too many": (
        pathwise,
        "_pathwise",
        pathwise._pathwise_squashed,
        ("pathwise gradient, Gaussian",),
    ),
}
CASES = [(what, name) for what, (*_, names) in PLANTED.items() for name in names]


@pytest.mark.parametrize(("what", "name"), CASES)
def test_a_planted_mistake_is_noticed(what, name, monkeypatch):
    """In one of three cases: a γ of 1 or a task without an end hides some."""
    owner, attribute, wrong, _ = PLANTED[what]
    monkeypatch.setattr(owner, attribute, wrong)
    assert any(failures(name, seed) for seed in range(3))
