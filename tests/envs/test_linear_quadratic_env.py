"""The linear–quadratic environment against its own equations, in NumPy."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.envs.linear_quadratic import LinearQuadratic
from rewardtogo.envs.registry import make
from rewardtogo.envs.wrappers import TimeLimit


A = np.array([[0.9, 0.3, 0.0], [-0.2, 0.8, 0.1], [0.0, 0.1, 0.5]])
B = np.array([[1.0, 0.0], [0.0, 0.5], [0.2, -0.1]])
Q, R = np.diag([1.0, 0.0, 2.0]), np.array([[0.5, 0.1], [0.1, 0.2]])


def system(**changes):
    given = {"dynamics": A, "control": B, "state_cost": Q, "action_cost": R, "dtype": "float64"}
    return LinearQuadratic(**given | changes)


def test_steps_follow_the_equations(x64):
    """Without noise, with actions on both sides of the bound."""
    env, actions = system(noise=0.0, bound=2.0), np.random.default_rng(0).normal(size=(6, 2)) * 2
    state, seen = env.reset(jr.key(3))
    assert np.any(np.abs(actions) > 2)
    s = np.asarray(seen)
    for action in actions:
        state, step = env.step(state, jnp.asarray(action))
        a = np.clip(action, -2, 2)
        assert np.isclose(step.reward, -(s @ Q @ s + a @ R @ a), rtol=1e-12)
        s = A @ s + B @ a
        assert np.allclose(step.observation, s, rtol=1e-12)
        assert np.array_equal(step.observation, state.vector)
        assert not step.terminated and not step.truncated


def test_noise_is_gaussian_and_fresh_at_every_step(x64):
    env, zero = system(noise=0.3), jnp.zeros(2)

    def two_steps(key):
        state, seen = env.reset(key)
        state, first = env.step(state, zero)
        return seen, first.observation, env.step(state, zero)[1].observation

    seen, first, second = map(np.asarray, jax.vmap(two_steps)(jr.split(jr.key(0), 2000)))
    noise = np.hstack([first - seen @ A.T, second - first @ A.T]) / 0.3
    assert all(scipy.stats.kstest(column, "norm").pvalue > 1e-3 for column in noise.T)
    assert all(scipy.stats.kstest(c, "uniform", (-1, 2)).pvalue > 1e-3 for c in seen.T)
    correlation = np.corrcoef(np.hstack([seen, noise]).T)
    assert np.abs(correlation - np.eye(9)).max() < 0.1


def test_the_name_comes_with_a_limit():
    env = make("LinearQuadratic-v0", {"noise": 0})
    assert isinstance(env, TimeLimit) and env.max_steps == 50
    assert env.env == LinearQuadratic(noise=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control": B[:2]}, r"`control` must be a matrix of shape \(3, 2\)"),
        ({"dynamics": A[:, :2]}, r"`dynamics` must be a matrix of shape \(3, 3\)"),
        ({"state_cost": A}, "`state_cost` must be symmetric and positive semidefinite"),
        ({"state_cost": -Q}, "`state_cost` must be symmetric and positive semidefinite"),
        ({"action_cost": 0 * R}, "`action_cost` must be symmetric and positive definite"),
        ({"noise": -0.1}, "`noise` .*got -0.1"),
        ({"bound": 0}, "`bound` .*got 0"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        system(**changes)
