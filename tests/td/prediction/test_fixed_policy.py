"""A fixed policy on the mountain car: its exact values by simulation."""

import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.envs.classic.mountain_car import MountainCar
from rewardtogo.td.prediction.fixed_policy import FixedPolicyEnvironment, returns_from


CAR = MountainCar()


def push(observation):
    """With the velocity."""
    return jnp.where(observation[1] < 0, 0, 2)


def grid(points):
    sides = np.linspace(-1.2, 0.45, points), np.linspace(-0.07, 0.07, points)
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2).astype(np.float32)


def driven(x, v, discount):
    """The equations of Sutton and Barto (2018), example 10.1, in plain Python."""
    total, weight = 0.0, 1.0
    while x < 0.5:
        v = min(max(v + 0.001 * (-1 if v < 0 else 1) - 0.0025 * np.cos(3 * x), -0.07), 0.07)
        x = x + v
        if x < -1.2:
            x, v = -1.2, 0.0
        total, weight = total - weight, weight * discount
    return total


@pytest.mark.parametrize("discount", [1.0, 0.95])
def test_returns_by_simulation(discount):
    found = returns_from(CAR, push, grid(7), discount=discount)
    exact = [driven(float(x), float(v), discount) for x, v in grid(7)]
    # In float32 the goal may be passed a step earlier or later.
    assert np.abs(found - exact).max() <= 1.01
    assert np.mean(np.abs(found - exact) > 1e-3) < 0.1


def test_a_followed_policy_from_the_environments_own_start(key):
    """The car at rest; and each step is the policy's, whatever action is given."""
    env = FixedPolicyEnvironment(CAR, push)
    state, seen = env.reset(key)
    assert -0.6 <= seen[0] < -0.4 and seen[1] == 0
    _, step = env.step(state, jnp.asarray(0))
    _, expected = CAR.step(state.inner, jnp.asarray(2))
    assert np.array_equal(step.observation, expected.observation)


def test_what_never_ends_is_refused():
    coast = lambda observation: jnp.asarray(1)
    with pytest.raises(ValueError, match="has not ended after 50 steps"):
        returns_from(CAR, coast, np.array([[-0.5, 0.0]], np.float32), max_steps=50)
