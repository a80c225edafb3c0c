"""Values of all actions from two streams, and the mean of networks."""

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.values import MeanActionValues


VECTOR = gym.spaces.Box(-1.0, 1.0, (3,), np.float64)
IMAGE = gym.spaces.Box(0.0, 1.0, (10, 10, 2), np.float64)
ACTIONS = 4


def architecture(space=VECTOR, hidden=(6, 5)):
    return Architecture(space, gym.spaces.Discrete(ACTIONS), hidden, "tanh", jnp.float64)


def through(layers, x):
    """Fully connected layers with tanh between them, in NumPy."""
    for i, layer in enumerate(layers.layers):
        x = (np.tanh(x) if i else x) @ np.asarray(layer.weight) + np.asarray(layer.bias)
    return x


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (7, 6, 5)])
def test_dueling_streams_by_hand(hidden, key, x64):
    """Wang et al. (2016), eq. 9; the last hidden layer is each stream's own."""
    net = architecture(hidden=hidden).dueling_action_values(key)
    seen = np.asarray(jr.normal(jr.key(1), (2, 5, 3)))
    x = seen
    if len(hidden) > 1:
        x = np.tanh(through(net.encoder.layers, x))
        assert [layer.bias.size for layer in net.encoder.layers.layers] == [*hidden[:-1]]
    for stream, outputs in ((net.value, 1), (net.advantages, ACTIONS)):
        assert [layer.bias.size for layer in stream.layers] == [*hidden[-1:], outputs]
    value, advantages = through(net.value, x), through(net.advantages, x)
    ours = net(jnp.asarray(seen))
    expected = value + advantages - advantages.sum(-1, keepdims=True) / ACTIONS
    assert ours.shape == (2, 5, ACTIONS) and np.allclose(ours, expected, rtol=1e-12)
    assert np.allclose(ours.mean(-1), value[..., 0], rtol=1e-12)


def test_gradients_of_the_streams(key, x64):
    """∂Q_a/∂V = 1 and ∂Q_a/∂A_b = δ_ab − 1/|A|: the advantages cannot move the mean."""
    net = architecture().dueling_action_values(key)
    slope = jax.jacobian(lambda net: net(jnp.ones(3)))(net)
    assert np.allclose(slope.value.layers[-1].bias, np.ones((ACTIONS, 1)))
    centred = np.eye(ACTIONS) - 1 / ACTIONS
    assert np.allclose(slope.advantages.layers[-1].bias, centred, atol=1e-15)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(slope.encoder))


@pytest.mark.parametrize("hidden", [(6,), (6, 5)])
def test_both_streams_see_the_same_convolutions(hidden, key, x64):
    net = architecture(IMAGE, hidden).dueling_action_values(key)
    seen = jr.uniform(jr.key(1), (3, 10, 10, 2))
    features = np.asarray(net.encoder(seen))
    value, advantages = through(net.value, features), through(net.advantages, features)
    centred = advantages - advantages.mean(-1, keepdims=True)
    assert np.allclose(net(seen), value + centred, rtol=1e-12)
    convolutions = net.encoder if len(hidden) == 1 else net.encoder.encoder
    gradient = jax.grad(lambda net: net(seen).sum())(net).encoder
    assert convolutions.size > 0 and all(np.any(g != 0) for g in jax.tree.leaves(gradient))


def test_the_mean_of_networks(key, x64):
    one, two = (architecture().action_values(k) for k in jr.split(key))
    seen = jr.normal(jr.key(1), (5, 3))
    assert np.allclose(MeanActionValues((one, two))(seen), (one(seen) + two(seen)) / 2)
