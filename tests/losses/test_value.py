import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special

from rewardtogo.losses.value import clipped_value_error, huber, squared_error


VALUE = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)) * 3, jnp.float32)
TARGET = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5)) * 3, jnp.float32)


def test_squared_error_and_its_gradient():
    assert jnp.allclose(squared_error(VALUE, TARGET), optax.l2_loss(VALUE, TARGET))
    grad = jax.grad(lambda v: squared_error(v, TARGET).sum())(VALUE)
    assert jnp.allclose(grad, VALUE - TARGET, rtol=1e-6)


@pytest.mark.parametrize("delta", [0.5, 1.0, 2.5])
def test_huber_against_scipy_and_the_clipped_gradient(delta):
    expected = scipy.special.huber(delta, np.asarray(VALUE - TARGET))
    assert jnp.allclose(huber(VALUE, TARGET, delta=delta), expected, rtol=1e-5, atol=1e-6)
    grad = jax.grad(lambda v: huber(v, TARGET, delta=delta).sum())(VALUE)
    assert jnp.allclose(grad, np.clip(VALUE - TARGET, -delta, delta), rtol=1e-5, atol=1e-6)


def test_huber_gradient_at_zero_error_and_at_the_corner():
    grad = jax.vmap(jax.grad(lambda v: huber(v, jnp.zeros(()), delta=1.0)))
    assert jnp.allclose(grad(jnp.array([0.0, 1.0, -1.0])), jnp.array([0.0, 1.0, -1.0]))


@pytest.mark.parametrize(
    ("value", "loss", "gradient"),
    [
        # old value 0, target 1, clip 0.2
        (0.1, 0.5 * 0.9**2, -0.9),  # inside: the plain loss
        (0.5, 0.5 * 0.8**2, 0.0),  # moved too far towards the target: no further gain
        (-0.5, 0.5 * 1.5**2, -1.5),  # moved away: pulled back in full, which a minimum forgets
    ],
)
def test_clipped_value_error_is_pessimistic(value, loss, gradient):
    error = lambda v: clipped_value_error(v, jnp.zeros(()), jnp.ones(()), clip=0.2)
    ours, slope = jax.value_and_grad(error)(jnp.asarray(value))
    assert jnp.allclose(ours, loss, rtol=1e-6) and jnp.allclose(slope, gradient, atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        squared_error,
        lambda v, y: huber(v, y, delta=1.0),
        lambda v, y: clipped_value_error(v, y - 0.1, y, clip=0.2),
    ],
)
def test_targets_are_constants(loss):
    assert jnp.all(jax.grad(lambda y: loss(VALUE, y).sum())(TARGET) == 0)
