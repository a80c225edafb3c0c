"""The closed forms against sums, differences and the environment itself."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg

from rewardtogo.envs.linear_quadratic import LinearQuadratic
from rewardtogo.envs.wrappers import ScaledActions, TimeLimit
from rewardtogo.lab.theorems.linear_quadratic import problem_of


ENV = LinearQuadratic(
    dynamics=[[0.9, 0.3, 0.0], [-0.2, 0.8, 0.1], [0.0, 0.1, 0.5]],
    control=[[1.0, 0.0], [0.0, 0.5], [0.2, -0.1]],
    state_cost=np.diag([1.0, 0.0, 2.0]),
    action_cost=[[0.5, 0.1], [0.1, 0.2]],
    noise=0.2,
    bound=4.0,
    dtype="float64",
)
PROBLEM = problem_of(ENV, discount=0.9)
GAIN = np.array([[-0.1, 0.05, 0.0], [0.02, -0.2, 0.1]])


def difference(function, gain, step=1e-6):
    """Central differences, entry by entry."""
    slope = np.zeros(gain.shape)
    for index in np.ndindex(gain.shape):
        moved = np.zeros(gain.shape)
        moved[index] = step
        slope[index] = (function(gain + moved) - function(gain - moved)) / (2 * step)
    return slope


def test_values_solve_the_lyapunov_equation():
    """Against SciPy's own solver."""
    p, constant = PROBLEM.value(GAIN)
    loop = 0.9**0.5 * PROBLEM.closed_loop(GAIN).T
    assert np.allclose(p, scipy.linalg.solve_discrete_lyapunov(loop, PROBLEM.cost(GAIN)))
    state = np.array([1.0, -2.0, 0.5])
    value = -(state @ p @ state + constant)
    assert np.isclose(PROBLEM.action_value(GAIN, state, GAIN @ state), value)


def test_return_is_that_of_the_environment(x64):
    """Played in the policy's units; the mean of 4,000 episodes within five of its errors."""
    env = ScaledActions(TimeLimit(ENV, 30))

    def play(key):
        def step(carry, power):
            state, seen = carry
            state, out = env.step(state, jnp.asarray(GAIN) @ seen)
            return (state, out.observation), jnp.stack([power * out.reward, out.reward])

        return jax.lax.scan(step, env.reset(key), 0.9 ** jnp.arange(30.0))[1].sum(axis=0)

    found = np.asarray(jax.vmap(play)(jr.split(jr.key(0), 4000)))
    error = 5 * found.std(axis=0) / 4000**0.5
    expected = PROBLEM.expected_return(GAIN), PROBLEM.episode_return(GAIN, steps=30)
    # The rewards after the 30th are worth at most γ³⁰ of as much again.
    later = np.array([0.9**30 * -expected[1], 0.0])
    assert np.all(np.abs(found.mean(axis=0) - expected) < error + later)
    assert np.all(error < 0.05 * -np.array(expected))


@pytest.mark.parametrize("problem", [PROBLEM, PROBLEM.with_constant()], ids=["linear", "affine"])
def test_gradient_is_that_of_the_return(problem):
    gain = np.random.default_rng(1).normal(size=(2, len(problem.dynamics))) * 0.05
    assert np.allclose(problem.gradient(gain), difference(problem.expected_return, gain), rtol=1e-6)


def test_a_constant_in_the_state_is_a_constant_in_the_policy():
    """a = b + Ks moves the mean path from rest, and costs what that path costs besides."""
    constant, mean, power, cost = np.array([0.3, -0.2]), np.zeros(3), 1.0, 0.0
    for _ in range(400):
        action = constant + GAIN @ mean
        now = mean @ PROBLEM.state_cost @ mean + action @ PROBLEM.action_cost @ action
        cost, power = cost + power * now, power * PROBLEM.discount
        mean = PROBLEM.dynamics @ mean + PROBLEM.control @ action
    found = PROBLEM.with_constant().expected_return(np.column_stack([constant, GAIN]))
    assert np.isclose(found, PROBLEM.expected_return(GAIN) - cost, rtol=1e-12)


def test_the_best_gain_is_best():
    """No gradient there, and no value iteration finds a better one."""
    best = PROBLEM.best_gain()
    assert np.abs(PROBLEM.gradient(best)).max() < 1e-12 * np.abs(PROBLEM.gradient(GAIN)).max()
    p, b, a = np.zeros((3, 3)), PROBLEM.control, PROBLEM.dynamics
    for _ in range(300):
        gain = -np.linalg.solve(PROBLEM.action_cost + 0.9 * b.T @ p @ b, 0.9 * b.T @ p @ a)
        loop = a + b @ gain
        p = PROBLEM.cost(gain) + 0.9 * loop.T @ p @ loop
    assert np.allclose(best, gain) and np.allclose(PROBLEM.value(best)[0], p)


@pytest.mark.parametrize("asked", [PROBLEM.value, PROBLEM.moments])
def test_an_endless_return_is_refused(asked):
    with pytest.raises(ValueError, match="no finite return"):
        asked(GAIN + 10)
