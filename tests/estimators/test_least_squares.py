"""Least-squares TD against exact values of a small chain."""

import jax.numpy as jnp
import numpy as np

from rewardtogo.estimators.least_squares import least_squares_td


# From state 0 to 1 or 2 alike, from 1 to 0, from 2 to the end.
STATE = np.array([0, 0, 1, 1, 2, 2])
SUCCESSOR = np.array([1, 2, 0, 0, 1, 1])  # what follows the end must not matter
REWARD = np.array([1.0, 3.0, -1.0, -1.0, 5.0, 5.0])
ENDS = STATE == 2
MATRIX = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
VALUES = np.linalg.solve(np.eye(3) - 0.9 * MATRIX, [2.0, -1.0, 5.0])


def solved(features, *, ridge=1e-13):
    return least_squares_td(
        jnp.asarray(features[STATE]),
        jnp.asarray(features[SUCCESSOR]),
        jnp.asarray(REWARD),
        jnp.asarray(ENDS),
        discount=0.9,
        ridge=ridge,
    )


def test_one_number_a_state_gives_the_values(x64):
    assert np.allclose(solved(np.eye(3)), VALUES, rtol=1e-10)


def test_units_of_the_features_do_not_matter(x64):
    """Nor does a feature that is never there, even with a ridge that is felt."""
    units = np.array([1e-6, 1.0, 1e6, 1.0])
    features = np.hstack([np.eye(3), np.zeros((3, 1))])
    plain, scaled = solved(features, ridge=0.1), solved(features * units, ridge=0.1)
    assert np.allclose(scaled * units, plain, rtol=1e-9) and plain[3] == 0
    assert np.all(np.abs(plain[:3]) < 0.95 * np.abs(VALUES))


def test_few_features_give_the_fixed_point_of_the_mean_step(x64):
    """Not the nearest values: E[δψ] = 0, each row by itself."""
    features = np.array([[1.0], [2.0], [-1.0]])
    x = float(solved(features)[0])
    steps = [
        (r + 0.9 * (not ends) * x * features[t, 0] - x * features[s, 0]) * features[s, 0]
        for s, t, r, ends in zip(STATE, SUCCESSOR, REWARD, ENDS, strict=True)
    ]
    assert np.isclose(np.sum(steps), 0, atol=1e-10) and abs(x) > 0.1
