import itertools

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.nn.encoders import encoder
from rewardtogo.nn.polynomial import LinearPolicy, PolynomialEncoder


SEES = encoder(gym.spaces.Box(-np.inf, np.inf, (3,), np.float64), dtype=jnp.dtype("float64"))


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_every_monomial_is_there_once(degree, x64):
    """By their exponents, over two leading axes; a constant first, then the vector itself."""
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    features = PolynomialEncoder(SEES, degree)
    found = np.asarray(features(jnp.asarray(x)))
    exponents = [e for e in itertools.product(range(degree + 1), repeat=3) if sum(e) <= degree]
    expected = np.stack([np.prod(x ** np.array(e), axis=-1) for e in exponents], axis=-1)
    assert found.shape == expected.shape == (2, 5, features.size)
    assert np.allclose(np.sort(found, axis=-1), np.sort(expected, axis=-1), rtol=1e-12)
    assert np.all(found[..., 0] == 1) and np.array_equal(found[..., 1:4], x)


def test_the_policy_is_linear_in_its_features(x64):
    x, weight = np.array([[1.0, 2.0, 3.0]]), np.arange(8.0).reshape(4, 2)
    policy = LinearPolicy(PolynomialEncoder(SEES, 1), jnp.asarray(weight))
    distribution, carry = policy(jnp.asarray(x), ())
    # (1, 1, 2, 3) · columns (0, 2, 4, 6) and (1, 3, 5, 7).
    assert distribution.mode().tolist() == [[28.0, 35.0]] and carry == ()
