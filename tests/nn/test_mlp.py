import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.nn.mlp import ACTIVATIONS, MLP, Linear, fan_in_uniform, mlp, orthogonal


def build(sizes, key, output_init=fan_in_uniform):
    return mlp(
        sizes, activation=jnp.tanh, hidden_init=fan_in_uniform, output_init=output_init, key=key
    )


def test_by_hand(x64):
    """Two inputs, two hidden units, one output: the activation between, none at the end."""
    hidden = Linear(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, -0.5]))
    last = Linear(jnp.array([[5.0], [-6.0]]), jnp.array([7.0]))
    net = MLP((hidden, last), jax.nn.relu)
    x = jnp.array([1.0, -1.0])
    # (1 - 3 + 0.5, 2 - 4 - 0.5) is below 0; for -x it is (2.5, 1.5).
    assert np.allclose(net(x), [7.0])
    assert np.allclose(net(-x), [5 * 2.5 - 6 * 1.5 + 7])


@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 2), (3, 4, 5, 2)])
def test_against_numpy_over_any_leading_axes(sizes, key):
    net = build(sizes, key)
    assert [layer.weight.shape for layer in net.layers] == list(itertools.pairwise(sizes))
    x = jr.normal(key, (2, 6, 3))
    expected = np.asarray(x, np.float64)
    for index, layer in enumerate(net.layers):
        expected = expected @ np.asarray(layer.weight) + np.asarray(layer.bias)
        expected = np.tanh(expected) if index < len(net.layers) - 1 else expected
    assert np.allclose(net(x), expected, atol=1e-5)
    assert np.allclose(net(x[0, 0]), expected[0, 0], atol=1e-5)


def test_layers_are_drawn_apart_and_biases_begin_at_zero(key):
    net = build((4, 4, 4), key)
    assert not np.allclose(net.layers[0].weight, net.layers[1].weight)
    assert all(not np.any(layer.bias) for layer in net.layers)


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 3), (3, 6), (4, 4)])
def test_orthogonal_weights(inputs, outputs, key):
    """Orthonormal along the shorter side, times the gain."""
    weight = np.asarray(orthogonal(3.0)(key, inputs, outputs, jnp.float32))
    short = weight.T @ weight if inputs >= outputs else weight @ weight.T
    assert weight.shape == (inputs, outputs)
    assert np.allclose(short, 9 * np.eye(min(inputs, outputs)), atol=1e-5)


def test_fan_in_uniform_weights(key):
    weight = np.asarray(fan_in_uniform(key, 25, 200, jnp.float32)).ravel()
    assert scipy.stats.kstest(weight, "uniform", (-0.2, 0.4)).pvalue > 1e-3


def test_hidden_and_output_layers_have_their_own_initialiser(key):
    net = build((3, 4, 4), key, output_init=orthogonal(0.01))
    assert np.allclose(np.linalg.norm(net.layers[1].weight, axis=0), 0.01, atol=1e-6)
    assert np.abs(net.layers[0].weight).max() > 0.1


ORACLES = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_what_their_names_say(name, x64):
    x = np.linspace(-3, 3, 13)
    assert np.allclose(ACTIVATIONS[name](jnp.asarray(x)), ORACLES[name](x), atol=1e-12)
