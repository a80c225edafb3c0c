"""The signal-to-noise ratio of gradients, against draws whose mean and covariance are known."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from rewardtogo.optim.diagnostics import gradient_signal_to_noise


SIZE = 60_000


def ratio_after(steps, *, mean, deviation, clip=None):
    """Adam's gauge after gradients drawn one a step, all of one distribution."""
    adam = optax.adam(1e-3)
    optimiser = adam if clip is None else optax.chain(optax.clip_by_global_norm(clip), adam)
    params = {"a": jnp.zeros(SIZE // 2), "b": jnp.zeros((SIZE // 4, 2))}
    state = optimiser.init(params)

    def step(state, key):
        keys = dict(zip(params, jr.split(key), strict=True))
        draw = lambda name: mean + deviation * jr.normal(keys[name], params[name].shape)
        return optimiser.update({name: draw(name) for name in params}, state)[1], None

    state, _ = jax.lax.scan(step, state, jr.split(jr.key(0), steps))
    return float(gradient_signal_to_noise(state))


# Many parameters stand for many draws: sums over them are close to their expectations.
@pytest.mark.parametrize("steps", [2, 40])
@pytest.mark.parametrize(("mean", "deviation"), [(1.0, 1.0), (0.3, 1.5), (2.0, 0.5)])
def test_the_ratio_of_draws_with_a_known_one(x64, steps, mean, deviation):
    found = ratio_after(steps, mean=mean, deviation=deviation)
    assert np.isclose(found, mean**2 / deviation**2, rtol=0.05, atol=1e-2)


def test_noise_without_signal(x64):
    assert ratio_after(10, mean=0.0, deviation=1.0) < 1e-2


def test_the_scale_does_not_matter(x64):
    plain, clipped = (ratio_after(5, mean=1.0, deviation=2.0, clip=c) for c in (None, 1e-3))
    assert np.isclose(plain, clipped, rtol=3e-2)


def test_one_step_and_no_noise_show_nothing():
    assert ratio_after(1, mean=1.0, deviation=1.0) == 0
    assert gradient_signal_to_noise(optax.adam(1e-3).init({"a": jnp.ones(3)})) == 0
