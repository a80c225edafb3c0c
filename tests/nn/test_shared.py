from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.shared import shared_actor_critic


BOX = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
IMAGE = gym.spaces.Box(0, 255, (6, 5, 2), np.uint8)
DISCRETE = gym.spaces.Discrete(4)
CONTINUOUS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def built(observation, action, key, hidden=(8, 7)) -> Any:
    nets = Architecture(observation, action, hidden, "tanh")
    return shared_actor_critic(nets, key, log_std=-0.5)


def test_both_heads_read_the_same_layers(key):
    """Layer by layer, in NumPy."""
    model = built(BOX, DISCRETE, key)
    seen = np.asarray(jr.normal(key, (5, 6, 3)))
    distribution, value, carry = model(jnp.asarray(seen), model.initial_carry())
    x = seen
    for layer in model.trunk.layers.layers:
        x = np.tanh(x @ np.asarray(layer.weight) + np.asarray(layer.bias))
    (policy,), (worth,) = model.actor.logits.layers, model.critic.value.layers
    assert np.allclose(distribution.logits, x @ np.asarray(policy.weight), atol=1e-6)
    assert np.allclose(value, (x @ np.asarray(worth.weight))[..., 0], atol=1e-5)
    assert carry == ()


def test_weights_are_orthogonal_with_their_gains(key):
    model = built(BOX, DISCRETE, key)
    layers = [*model.trunk.layers.layers, *model.actor.logits.layers, *model.critic.value.layers]
    gains = [2**0.5, 2**0.5, 0.01, 1.0]
    assert [layer.weight.shape for layer in layers] == [(3, 8), (8, 7), (7, 4), (7, 1)]
    for layer, gain in zip(layers, gains, strict=True):
        singular = np.linalg.svd(layer.weight, compute_uv=False)
        assert np.allclose(singular, gain, rtol=1e-4) and not layer.bias.any()


def test_continuous_actions_have_a_deviation_of_their_own(key):
    model = built(BOX, CONTINUOUS, key)
    distribution, value, _ = model(jnp.ones((5, 3)), ())
    assert distribution.mean.shape == (5, 2) and value.shape == (5,)
    assert np.allclose(distribution.log_std, -0.5)


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_images_share_their_convolutions(hidden, key):
    """One set of them, which both losses reach."""
    model = built(IMAGE, DISCRETE, key, hidden)
    seen = jr.randint(key, (5, 6, 5, 2), 0, 255).astype(jnp.uint8)
    four_axes = [x for x in jax.tree.leaves(model) if x.ndim == 4]
    assert len(four_axes) == 1

    def slopes(loss):
        gradient = jax.grad(lambda m: loss(*m(seen, ())[:2]))(model)
        return next(x for x in jax.tree.leaves(gradient) if x.ndim == 4)

    assert slopes(lambda d, v: d.log_prob(jnp.zeros(5, jnp.int32)).sum()).any()
    assert slopes(lambda d, v: v.sum()).any()


def test_there_must_be_something_to_share(key):
    with pytest.raises(ValueError, match="A shared trunk needs layers: `hidden` is empty"):
        built(BOX, DISCRETE, key, ())
