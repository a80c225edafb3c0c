"""Prediction in environments: by hand on a line, and against simulation on the mountain car."""

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.envs.classic.mountain_car import MountainCar
from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.td.prediction.environment_run import (
    LinearFunction,
    NetworkFunction,
    predict_environment,
)
from rewardtogo.td.prediction.fixed_policy import FixedPolicyEnvironment, returns_from
from rewardtogo.td.prediction.monte_carlo import MonteCarlo, Visits
from rewardtogo.td.prediction.n_step import NStepTD
from rewardtogo.td.prediction.one_step import TD0
from rewardtogo.td.values.features import Fourier, TileCoding


CAR = MountainCar()
TILES = TileCoding([-1.2, -0.07], [0.6, 0.07], tiles=8, tilings=8)
EVERY = MonteCarlo(visits=Visits.EVERY, step_decay=0.0)
COSINES = Fourier([0.0], [1.0], order=3)
LENGTH = 5


class ProcessState(eqx.Module):
    x: jnp.ndarray


class Line(AbstractEnvironment[ProcessState]):
    """0, 0.2, …, 0.8, then the end; a step from x pays 1 + x."""

    @property
    def observation_space(self):
        return gym.spaces.Box(0.0, 1.0, (1,))

    @property
    def action_space(self):
        return gym.spaces.Discrete(1)

    def reset(self, key):
        del key
        return ProcessState(jnp.zeros(1)), jnp.zeros(1)

    def step(self, state, action):
        del action
        x = state.x + 1 / LENGTH
        ended = x[0] > 1 - 1e-6
        return ProcessState(x), Step(x, 1 + state.x[0], ended, jnp.asarray(False))


def push(observation):
    """With the velocity."""
    return jnp.where(observation[1] < 0, 0, 2)


def by_hand(target, *, backward):
    """Three episodes of α = 0.1 in NumPy; `target(rewards, values, t)`."""
    seen = np.arange(LENGTH) / LENGTH
    x = np.cos(np.pi * seen[:, None] * np.arange(4))
    scale = 1 / np.array([1.0, 1.0, 2.0, 3.0])
    w = np.zeros(4)
    for _ in range(3):
        for t in reversed(range(LENGTH)) if backward else range(LENGTH):
            goal = target(1 + seen, np.append(x @ w, 0.0), t)
            w = w + 0.1 * (goal - x[t] @ w) * scale * x[t]
    return w


def one_step(rewards, values, t):
    return rewards[t] + 0.9 * values[t + 1]


def whole(rewards, values, t):
    return sum(0.9**k * r for k, r in enumerate(rewards[t:]))


@pytest.mark.parametrize(
    ("method", "target", "backward"),
    [(TD0(), one_step, False), (EVERY, whole, True)],
    ids=["td0", "mc"],
)
def test_steps_by_hand(method, target, backward, x64):
    run = predict_environment(
        method,
        Line(),
        LinearFunction(COSINES),
        step_sizes=[0.1],
        discount=0.9,
        episodes=3,
        seeds=1,
        max_steps=8,
    )
    assert run.lengths.tolist() == [[LENGTH] * 3] and not run.truncated.any()
    assert np.allclose(run.weights[0, 0], by_hand(target, backward=backward), rtol=1e-12)
    points = np.linspace(0, 1, 7)[:, None]
    expected = np.cos(np.pi * points * np.arange(4)) @ run.weights[0, 0]
    assert np.allclose(run.values(points)[0, 0], expected, rtol=1e-12)


def test_a_cut_episode_bootstraps_and_teaches_monte_carlo_nothing(x64):
    few = {"step_sizes": [0.1], "episodes": 2, "seeds": 1, "max_steps": LENGTH - 1}
    td, mc = (
        predict_environment(m, Line(), LinearFunction(COSINES), **few) for m in (TD0(), EVERY)
    )
    assert td.truncated.all() and np.all(td.lengths == LENGTH - 1)
    assert np.abs(td.weights).max() > 0 and np.all(mc.weights == 0)


@pytest.mark.parametrize(
    ("method", "function", "size"),
    [
        (TD0(), LinearFunction(TILES), 0.5),
        (EVERY, LinearFunction(TILES), 0.1),
        (NStepTD(n=8), LinearFunction(TILES), 0.2),
        (TD0(), NetworkFunction((-1.2, -0.07), (0.6, 0.07)), 3e-4),
    ],
    ids=["td0", "mc", "n-step", "network"],
)
def test_values_of_a_policy_on_the_mountain_car(method, function, size):
    """From anywhere; the error on a grid falls well below the spread of the values."""
    sides = np.linspace(-1.2, 0.45, 15), np.linspace(-0.07, 0.07, 15)
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2).astype(np.float32)
    exact, env = returns_from(CAR, push, grid), FixedPolicyEnvironment(CAR, push, anywhere=True)
    run = predict_environment(
        method, env, function, step_sizes=[size], episodes=2000, seeds=2, max_steps=1000
    )
    error = np.sqrt(np.mean((run.values(grid)[0] - exact) ** 2, axis=-1))
    assert exact.std() > 25 and np.all(error < 0.6 * exact.std())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": CAR}, "nothing is left to choose, as Followed; got actions Discrete"),
        ({"function": LinearFunction(COSINES)}, "of the wrong width: .* 1 numbers, .* have 2"),
        ({"step_sizes": [1.5]}, "`step_sizes` must lie in .*; got 1.5"),
        ({"discount": 1.5}, "`discount` must lie in"),
        ({"episodes": 0}, "`episodes` must be a whole number, at least 1; got 0"),
        ({"max_steps": 10**12}, "`max_steps` 1,000,000,000,000 needs"),
    ],
)
def test_bad_input_is_refused_at_once(changes, said):
    given = {
        "environment": FixedPolicyEnvironment(CAR, push),
        "function": LinearFunction(TILES),
        "step_sizes": [0.5],
    }
    with pytest.raises(ValueError, match=said):
        predict_environment(TD0(), **(given | changes))


def test_a_network_needs_a_range():
    with pytest.raises(ValueError, match="`low` must be below `high`"):
        NetworkFunction((0.0,), (0.0,))
