"""Encoders, policies and value functions as `Architecture` builds them from two spaces."""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.encoders import encoder
from rewardtogo.nn.policies import LogProbBehaviour, SamplingBehaviour, TanhGaussianPolicy


BOX = gym.spaces.Box(-1.0, 1.0, (2, 3), np.float32)
BYTES = gym.spaces.Box(0, 255, (2, 2), np.uint8)
DISCRETE = gym.spaces.Discrete(4)
ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def nets(
    observation: Any = BOX,
    action: Any = DISCRETE,
    hidden=(6, 5),
    activation: Any = "tanh",
    **settings,
) -> Any:
    return Architecture(observation, action, hidden, activation, **settings)


def test_a_box_is_flattened():
    encode = encoder(BOX)
    x = jnp.arange(24.0).reshape(4, 2, 3)
    assert encode.size == 6
    assert np.array_equal(encode(x), np.arange(24.0).reshape(4, 6))
    assert np.array_equal(encode(x[0]), np.arange(6.0))


def test_bytes_become_floats():
    encoded = encoder(BYTES)(jnp.array([[0, 255], [7, 1]], jnp.uint8))
    assert encoded.dtype == jnp.float32 and np.array_equal(encoded, [0, 255, 7, 1])


def test_a_discrete_observation_becomes_one_hot():
    encode = encoder(gym.spaces.Discrete(3))
    assert encode.size == 3
    assert np.array_equal(encode(jnp.array([[2], [0]])), [[[0, 0, 1]], [[1, 0, 0]]])


def test_an_encoder_gives_the_dtype_it_was_asked_for(x64):
    x = jnp.ones((2, 3), jnp.float32)
    assert encoder(BOX, dtype=jnp.float64)(x).dtype == jnp.float64
    assert encoder(DISCRETE, dtype=jnp.float64)(jnp.array(1)).dtype == jnp.float64


def test_other_spaces_are_refused():
    for observation in (gym.spaces.MultiBinary(3), gym.spaces.Dict({"a": BOX})):
        with pytest.raises(ValueError, match="may be `Box` or `Discrete`; got"):
            nets(observation=observation)


def test_errors_of_an_architecture_name_the_argument():
    with pytest.raises(ValueError, match="`hidden` must be a whole number, at least 1; got 0"):
        nets(hidden=(4, 0))
    with pytest.raises(ValueError, match=r"Unknown activation `rleu`. Did you mean `relu`\?"):
        nets(activation="rleu")


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
def test_widths_and_depth(hidden, key):
    """Input, hidden and output sizes of every network."""
    wide = lambda net: [layer.weight.shape[0] for layer in net.layers] + [net.layers[-1].bias.size]
    continuous, discrete = nets(action=ACTIONS, hidden=hidden), nets(hidden=hidden)
    assert wide(discrete.actor(key, log_std=0.0).logits) == [6, *hidden, 4]
    assert wide(continuous.actor(key, log_std=0.0).mean) == [6, *hidden, 2]
    assert wide(continuous.squashed_actor(key).mean_and_log_std) == [6, *hidden, 4]
    assert wide(discrete.state_value(key).value) == [6, *hidden, 1]
    assert wide(discrete.action_values(key).values) == [6, *hidden, 4]
    twins = continuous.twin_values(key)
    assert twins(jnp.ones((3, 2, 3)), jnp.ones((3, 2))).shape == (2, 3)


def test_a_new_discrete_policy_is_nearly_uniform(key):
    seen = jr.normal(key, (50, 2, 3))
    distribution, carry = nets().actor(key, log_std=0.0)(seen, ())
    assert carry == () and np.abs(jax.nn.softmax(distribution.logits) - 0.25).max() < 0.02


def test_a_new_gaussian_policy_is_centred_with_the_given_deviation(key):
    policy = nets(action=ACTIONS).actor(key, log_std=-0.7)
    distribution, _ = policy(jr.normal(key, (50, 2, 3)), ())
    assert np.abs(distribution.mean).max() < 0.1
    assert distribution.log_std.shape == (50, 2) and np.allclose(distribution.log_std, -0.7)


def test_the_squashed_policy_keeps_its_deviation_within_range(key):
    policy = nets(action=ACTIONS).squashed_actor(key)
    wild = jax.tree.map(lambda x: 1e4 * x, policy)
    seen = jr.normal(key, (50, 2, 3))
    log_std = wild(seen, ())[0].log_std
    assert (log_std.min(), log_std.max()) == (-20, 2)
    narrow = TanhGaussianPolicy(wild.encoder, wild.mean_and_log_std, (-1.0, 0.5))
    assert np.array_equal(np.unique(narrow(seen, ())[0].log_std), [-1, 0.5])


def test_squashed_mean_and_deviation_are_the_two_halves(key):
    policy = nets(action=ACTIONS).squashed_actor(key)
    seen = jr.normal(key, (7, 2, 3))
    out = policy.mean_and_log_std(policy.encoder(seen))
    distribution, _ = policy(seen, ())
    assert np.array_equal(distribution.mean, out[:, :2])
    assert np.array_equal(distribution.log_std, out[:, 2:])


def test_twin_values_read_state_and_action(key):
    twins = nets(action=ACTIONS).twin_values(key)
    seen, action = jr.normal(key, (3, 2, 3)), jr.uniform(key, (3, 2))
    q = twins(seen, action)
    assert q.shape == (2, 3) and not np.any(np.isclose(q[0], q[1]))
    assert not np.any(np.isclose(q, twins(seen, -action)))
    assert not np.any(np.isclose(q, twins(-seen, action)))


def test_everything_is_in_the_dtype_asked_for(key, x64):
    wide = nets(action=ACTIONS, dtype=jnp.float64)
    models = [
        wide.actor(key, log_std=0.0),
        wide.state_value(key),
        wide.squashed_actor(key),
        wide.twin_values(key),
        nets(dtype=jnp.float64).action_values(key),
    ]
    assert {x.dtype for x in jax.tree.leaves(models)} == {jnp.dtype("float64")}


def test_behaviours_draw_from_the_policy(key):
    """The same action for the same key, with and without its log-probability."""
    policy = nets().actor(key, log_std=0.0)
    seen = jr.normal(key, (5, 2, 3))
    distribution, _ = policy(seen, ())
    plain, record, carry = SamplingBehaviour(policy).act(seen, (), key=key)
    assert (record, carry) == ((), ()) and np.array_equal(plain, distribution.sample(key))
    action, log_prob, _ = LogProbBehaviour(policy).act(seen, (), key=key)
    assert np.array_equal(action, plain)
    assert np.allclose(log_prob, distribution.log_prob(action), atol=1e-6)
