"""Oracles: sums written out in NumPy, XLA's own convolution, published numbers of parameters."""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import rewardtogo as rtg
from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.conv import Conv, image_encoder, is_image, layer_channels
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import fan_in_uniform, orthogonal
from rewardtogo.recipes import RECIPES, default_recipe
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings
from short_runs import (
    assert_same_end,
    compile_cache,  # noqa: F401
    last_arrays,
    rows,
)


DISCRETE = gym.spaces.Discrete(3)
TURN = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def image(*shape: int, dtype: Any = np.uint8, high: float = 255) -> gym.spaces.Box:
    return gym.spaces.Box(0, high, shape, dtype)


def written_out(x, weight, bias, stride):
    """One image; every output is its own sum."""
    kernel, _, _, outputs = weight.shape
    rows, columns = ((side - kernel) // stride + 1 for side in x.shape[:2])
    y = np.zeros((rows, columns, outputs))
    for i in range(rows):
        for j in range(columns):
            seen = x[i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            for o in range(outputs):
                y[i, j, o] = np.sum(seen * weight[..., o]) + bias[o]
    return y


def random_conv(kernel, stride, rng):
    weight, bias = rng.normal(size=(kernel, kernel, 2, 3)), rng.normal(size=3)
    return Conv(jnp.asarray(weight), jnp.asarray(bias), stride), weight, bias


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2), (3, 2)])
def test_against_numpy_over_any_leading_axes(kernel, stride, x64):
    rng = np.random.default_rng(0)
    layer, weight, bias = random_conv(kernel, stride, rng)
    x = rng.normal(size=(2, 3, 7, 8, 2))
    expected = np.stack([[written_out(one, weight, bias, stride) for one in row] for row in x])
    found = layer(jnp.asarray(x))
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-12)
    assert np.allclose(layer(jnp.asarray(x[0, 0])), expected[0, 0], atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (4, 2)])
def test_gradients_are_those_of_xla(kernel, stride, x64):
    rng = np.random.default_rng(1)
    layer, _, _ = random_conv(kernel, stride, rng)
    x = jnp.asarray(rng.normal(size=(4, 7, 8, 2)))

    def theirs(weight, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        strides = (stride, stride)
        y = jax.lax.conv_general_dilated(x, weight, strides, "VALID", dimension_numbers=numbers)
        return jnp.sum(jnp.sin(y + layer.bias[None, None, None]))

    def ours(weight, x):
        return jnp.sum(jnp.sin(Conv(weight, layer.bias, stride)(x)))

    found, expected = (jax.grad(f, (0, 1))(layer.weight, x) for f in (ours, theirs))
    assert all(np.allclose(a, b, atol=1e-11) for a, b in zip(found, expected, strict=True))


def trunk(space, channels, key, *, initialise: Any = fan_in_uniform, dtype: Any = jnp.float32):
    return image_encoder(space, channels, initialise=initialise, key=key, dtype=dtype)


def test_layers_follow_each_other_with_a_relu_after_each(key, x64):
    encode = trunk(image(7, 8, 2), (3, 4), key, dtype=jnp.float64)
    x = np.random.default_rng(2).integers(0, 256, (5, 7, 8, 2), np.uint8)
    expected = []
    for one in x / 255:
        for layer in encode.convolutions:
            bias = np.asarray(layer.bias)
            one = np.maximum(written_out(one, np.asarray(layer.weight), bias, layer.stride), 0)
        expected.append(one.reshape(-1))
    assert encode.size == 3 * 4 * 4
    assert np.allclose(encode(jnp.asarray(x)), expected, atol=1e-12)


def test_bytes_are_scaled_and_the_rest_is_taken_as_it_is(key):
    encode = trunk(image(5, 5, 2), (3,), key)
    pixels = np.random.default_rng(3).integers(0, 256, (4, 5, 5, 2), np.uint8)
    seen = encode(jnp.asarray(pixels))
    assert seen.dtype == jnp.float32
    assert np.allclose(seen, encode(jnp.asarray(pixels / 255, jnp.float32)), atol=1e-6)
    assert np.array_equal(seen, encode(jnp.asarray(pixels, jnp.int32)))  # as from a list
    there = jnp.asarray(pixels > 100)
    assert np.array_equal(encode(there), encode(there.astype(jnp.float32)))
    assert np.allclose(encode(255 * there.astype(jnp.uint8)), encode(there), atol=1e-6)
    ones = trunk(image(5, 5, 2, high=1), (3,), key)  # bytes that count, not shades
    assert np.array_equal(ones(there.astype(jnp.uint8)), ones(there))
    counts = trunk(image(5, 5, 2, dtype=np.int32, high=9), (3,), key)  # neither are these
    assert np.array_equal(
        counts(jnp.asarray(pixels, jnp.int32)), counts(jnp.asarray(pixels, jnp.float32))
    )


def number_of_parameters(model) -> int:
    return sum(x.size for x in jax.tree.leaves(eqx.filter(model, eqx.is_array)))


def test_the_published_number_of_parameters(key):
    """Mnih et al. (2015): 8,224 + 32,832 + 36,928 + 1,606,144 + 4 × 513 with four actions."""
    space = image(84, 84, 4)
    nature = Architecture(space, gym.spaces.Discrete(4), (512,), "relu").action_values(key)
    assert number_of_parameters(nature) == 1_686_180
    assert number_of_parameters(nature.encoder) == 8_224 + 32_832 + 36_928
    # Young and Tian (2019): 16 kernels of 3×3×4 give 8×8×16, then 128 units.
    space = image(10, 10, 4, dtype=bool, high=1)
    small = Architecture(space, gym.spaces.Discrete(6), (128,), "relu").action_values(key)
    sizes = (3 * 3 * 4 + 1) * 16, (8 * 8 * 16 + 1) * 128, (128 + 1) * 6
    assert number_of_parameters(small) == sum(sizes)


def test_sizes_are_those_of_what_comes_out(key):
    for space, channels in ((image(84, 90, 1), (4, 4, 4, 4)), (image(36, 36, 3), (2, 2, 2))):
        encode = trunk(space, channels, key)
        seen = jax.ShapeDtypeStruct((2, *space.shape), jnp.uint8)
        assert jax.eval_shape(encode, seen).shape == (2, encode.size)


def test_initial_weights(key):
    """A kernel is a matrix of inputs by outputs: orthonormal columns, or 1/√inputs at most."""
    first = trunk(image(10, 10, 4), (16,), key, initialise=orthogonal(2**0.5)).convolutions[0]
    matrix = np.asarray(first.weight).reshape(36, 16)
    assert np.allclose(matrix.T @ matrix, 2 * np.eye(16), atol=1e-5)
    uniform = trunk(image(10, 10, 4), (16,), key).convolutions[0].weight
    assert 0.95 / 6 < np.abs(uniform).max() <= 1 / 6
    both = trunk(image(10, 10, 3), (3, 3), key).convolutions
    assert not np.array_equal(both[0].weight, both[1].weight)
    assert not np.any(first.bias)


SEEING = Architecture(image(6, 6, 2), DISCRETE, (8,), "tanh")
TURNING = Architecture(image(6, 6, 2), TURN, (8,), "relu")
NETWORKS: dict[str, tuple[Any, Any]] = {
    "categorical": (
        lambda key: SEEING.actor(key, log_std=0.0),
        lambda m, x: m(x, ())[0].logits,
    ),
    "gaussian": (lambda key: TURNING.actor(key, log_std=0.0), lambda m, x: m(x, ())[0].mean),
    "state_value": (SEEING.state_value, lambda m, x: m(x)),
    "action_values": (SEEING.action_values, lambda m, x: m(x)),
    "squashed": (TURNING.squashed_actor, lambda m, x: m(x, ())[0].mean),
    "twins": (
        TURNING.twin_values,
        lambda m, x: jnp.moveaxis(m(x, jnp.ones((*x.shape[:-3], 2))), 0, -1),
    ),
}


@pytest.mark.parametrize(("make", "call"), NETWORKS.values(), ids=NETWORKS)
def test_every_network_learns_its_convolutions(make, call, key):
    """Outputs keep the leading axes and depend on the image; gradients reach the kernels."""
    model = make(key)
    x = jr.randint(key, (3, 4, 6, 6, 2), 0, 256).astype(jnp.uint8)
    y = call(model, x)
    assert y.shape[:2] == (3, 4) and not np.allclose(y[0, 0], y[1, 1])
    assert np.allclose(call(model, x[0, 0]), y[0, 0], atol=1e-5)
    grads = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(call(m, x))))(model)
    (layer,) = grads.encoder.convolutions
    alive = np.any(np.asarray(layer.weight) != 0, axis=(0, 1, 2))
    assert alive.mean() > 0.5  # a ReLU may be dark for all of twelve images


@pytest.mark.parametrize(
    ("space", "channels", "expected"),
    [
        (image(10, 10, 4, dtype=bool, high=1), None, (16,)),
        (image(35, 84, 4), None, (16,)),
        (image(36, 84, 3, dtype=np.float32, high=1), None, (32, 64, 64)),
        (image(10, 10, 10), (4, 5), (4, 5)),
        (image(10, 10, 4), (), ()),
        (image(3, 12, 12), (), ()),
        (image(2, 9, 3), None, ()),
        (image(10, 10), None, ()),
        (image(10, 10, 4, 2), None, ()),
        (gym.spaces.Discrete(5), (8,), ()),
    ],
)
def test_what_is_convolved(space, channels, expected):
    assert layer_channels(space, channels) == expected
    nets = Architecture(space, DISCRETE, (4,), "relu", conv_channels=channels)
    model = eqx.filter_eval_shape(nets.state_value, jr.key(0))
    assert isinstance(model.encoder, Encoder) == (expected == ())


def test_what_cannot_be_convolved_is_refused():
    nets = lambda space, **given: Architecture(space, DISCRETE, (4,), "relu", **given)
    with pytest.raises(ValueError, match=r"must be its last axis; Box.*have them first"):
        nets(image(4, 84, 84))
    with pytest.raises(
        ValueError, match=r"too many layers for an image of 6×9: .* 3×3 .* 2×5 left"
    ):
        nets(image(6, 9, 1), conv_channels=(4, 4, 4))
    with pytest.raises(ValueError, match=r"`conv_channels` must be a whole number.*got 0"):
        nets(image(6, 9, 1), conv_channels=(4, 0))
    assert is_image(image(9, 9, 9)) and is_image(image(5, 9, 3)) and not is_image(DISCRETE)


SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"algorithm": rtg.PPO(learning_rate=1e-2, num_epochs=4, num_minibatches=2)},
    "reinforce": {"num_episodes": 2, "max_episode_steps": 8},
    "dqn": {"num_steps": 4, "num_updates": 1, "batch_size": 8},
    "sac": {"num_steps": 4, "num_updates": 1, "batch_size": 8},
}
REPLAY = {"buffer_size": 64, "learning_starts": 16, "num_envs": 2}


def settings(algorithm, environment, total_steps, *, seeds=1, **change) -> Settings:
    given = SMALL[algorithm] | (REPLAY if algorithm in ("dqn", "sac") else {}) | change
    recipe = dataclasses.replace(
        default_recipe(algorithm, environment), total_steps=total_steps, hidden=(16,), **given
    )
    turn = ("turn=true",) if algorithm == "sac" else ()
    run = RunSettings(seeds=seeds, eval_episodes=4, report_every=64, env_arg=turn)
    return Settings(recipe, environment, run)


@pytest.mark.parametrize("algorithm", sorted(RECIPES.keys() & SMALL.keys() - {"ppo"}))
def test_other_algorithms_train_on_bytes(algorithm, tmp_path):
    fit_settings(settings(algorithm, "own_images:Spot", 64), run_dir=tmp_path / "run", quiet=True)
    arrays = last_arrays(tmp_path / "run")
    kept = {k: a for k, a in arrays.items() if a.shape[-3:] == (10, 10, 2)}
    assert {a.dtype for a in kept.values()} <= {np.dtype("uint8")}
    assert any("convolutions" in name for name in arrays)
    if algorithm in ("dqn", "sac"):  # the ring: seed, rows, environment
        assert sum(a.shape[:3] == (1, 32, 2) for a in kept.values()) == 2


def test_ppo_learns_from_pictures_and_resumes(tmp_path):
    """Blind, an episode pays 4; seeing, 8."""
    make = lambda steps: settings(
        "ppo", "own_images:Spot", steps, seeds=2, num_envs=8, num_steps=32, conv_channels=(4,)
    )
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    result = fit_settings(make(6 * 256), run_dir=whole, quiet=True)
    assert min(result.evaluation.means) > 6
    fit_settings(make(3 * 256), run_dir=cut, quiet=True)
    fit_settings(make(6 * 256), run_dir=cut, resume=True, quiet=True)
    assert_same_end(cut, whole)


def test_ppo_on_pictures_from_gymnasium(tmp_path):
    run = tmp_path / "run"
    fit_settings(settings("ppo", "own_images:Spot-v0", 64, num_envs=2, num_steps=16), run_dir=run)
    assert len(rows(run)) == 1
    arrays = last_arrays(run)
    assert arrays["collector/observation"].dtype == np.uint8
