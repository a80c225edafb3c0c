import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.estimators.normalise import running_moments, standardise


def test_standardise_against_numpy(x64):
    x = np.random.default_rng(0).normal(3, 5, size=(4, 6))
    expected = (x - x.mean()) / x.std()
    assert jnp.allclose(standardise(jnp.asarray(x), epsilon=0.0), expected, rtol=1e-12)
    assert jnp.array_equal(standardise(jnp.full(5, 2.0)), jnp.zeros(5))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_running_moments_are_those_of_all_the_data(shape, x64):
    """Batches of unequal size and unequal mean, one and two leading axes, against numpy."""
    rng = np.random.default_rng(1)
    sizes = [(5,), (1,), (4, 7), (300,)]
    batches = [rng.normal(i * 10, 1 + i, (*size, *shape)) for i, size in enumerate(sizes)]
    moments = running_moments(shape, jnp.float64)
    for batch in batches:
        moments = moments.update(jnp.asarray(batch))
    everything = np.concatenate([batch.reshape(-1, *shape) for batch in batches])
    assert jnp.allclose(moments.mean, everything.mean(0), rtol=1e-12)
    assert jnp.allclose(moments.variance, everything.var(0), rtol=1e-12)
    assert moments.count == len(everything)


def test_normalise_centres_scales_and_clips(x64):
    data = jnp.asarray(np.random.default_rng(2).normal(7, 3, (1000, 2)))
    moments = running_moments((2,), jnp.float64).update(data)
    ours = moments.normalise(data, clip=10.0)
    assert jnp.allclose(ours.mean(0), 0, atol=1e-9) and jnp.allclose(ours.std(0), 1, rtol=1e-6)
    assert jnp.abs(moments.normalise(data, clip=0.5)).max() == 0.5
    assert jnp.allclose(moments.normalise(data[0], clip=10.0), ours[0])


def test_before_any_data_nothing_changes():
    x = jnp.array([0.5, -2.0])
    assert jnp.allclose(running_moments((2,)).normalise(x, clip=10.0), x)


def test_a_far_mean_does_not_cancel_in_float32():
    """Mean 1e4, deviation 1, which the sum of squares would lose in float32."""
    data = np.random.default_rng(3).normal(1e4, 1, (50, 64, 1)).astype(np.float32)
    update = lambda moments, batch: (moments.update(batch), None)
    moments, _ = jax.lax.scan(update, running_moments((1,)), jnp.asarray(data))
    assert np.isclose(moments.variance[0], data.astype(np.float64).var(), rtol=1e-2)


def test_integer_observations():
    images = jnp.array([[0, 255], [255, 255]], jnp.uint8)
    moments = running_moments((2,)).update(images)
    assert jnp.allclose(moments.mean, jnp.array([127.5, 255.0]))
    assert moments.normalise(images, clip=5.0).dtype == jnp.float32
