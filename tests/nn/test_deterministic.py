import dataclasses

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, networks
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.deterministic import Noisy, PointMass, action_value, deterministic_actor


@pytest.fixture
def actor(x64):
    return deterministic_actor(networks(CONTINUOUS), jr.key(1))


def test_the_mode_is_the_tanh_of_the_network(actor):
    """Written out with the weights, over two leading axes."""
    seen = jr.normal(jr.key(0), (2, 6, 3))
    distribution, carry = actor(seen, ())
    first, last = actor.pre_tanh.layers
    hidden = np.tanh(np.asarray(seen) @ np.asarray(first.weight) + np.asarray(first.bias))
    expected = np.tanh(hidden @ np.asarray(last.weight) + np.asarray(last.bias))
    assert carry == () and distribution.mode().shape == (2, 6, 2)
    assert np.allclose(distribution.mode(), expected, rtol=1e-12)


def test_a_point_mass_is_certain(key):
    """Its probabilities: one action has all, so that it is what is drawn."""
    point = PointMass(jnp.array([[0.25, -0.5], [1.0, 0.0]]))
    action, log_prob = point.sample_and_log_prob(key)
    assert np.array_equal(action, point.mode()) and np.array_equal(point.sample(key), action)
    assert np.array_equal(jnp.exp(log_prob), [1, 1])
    assert np.array_equal(jnp.exp(point.log_prob(action)), [1, 1])
    other = action.at[1, 1].set(0.1)  # one coordinate of one action
    assert np.array_equal(jnp.exp(point.log_prob(other)), [1, 0])


def test_noise_has_its_deviation_and_the_policy_as_its_mean(actor):
    """Where nothing is clipped, to five standard errors."""
    small = jax.tree.map(lambda x: 0.1 * x, actor)
    count, sigma = 20_000, 0.1
    seen = jnp.broadcast_to(jnp.array([0.3, -1.0, 0.5]), (count, 3))
    taken, record, carry = Noisy(small, sigma).act(seen, (), key=jr.key(3))
    noise = np.asarray(taken - small(seen, ())[0].mode())
    assert record == () and carry == () and np.abs(taken).max() < 1
    error = sigma / count**0.5
    assert np.all(np.abs(noise.mean(0)) < 5 * error)
    assert np.all(np.abs(noise.std(0) - sigma) < 5 * error / 2**0.5)
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / count**0.5  # each dimension has its own


def test_what_is_stored_was_taken_inside_the_box(actor):
    """Wide noise piles up on the border, as often as the normal law goes beyond it."""
    wide = jax.tree.map(jnp.zeros_like, actor)  # μ = 0: P(|noise| > 1) at σ = 1 is 0.3173
    taken = np.asarray(Noisy(wide, 1.0).act(jnp.zeros((20_000, 3)), (), key=jr.key(3))[0])
    assert np.abs(taken).max() == 1
    assert np.allclose(np.mean(np.abs(taken) == 1), 0.3173, atol=0.01)


def test_no_noise_is_the_policy(actor):
    seen = jr.normal(jr.key(0), (6, 3))
    behaviour = Noisy(actor, 0.0)
    assert behaviour.initial_carry() == ()
    taken = behaviour.act(seen, behaviour.initial_carry(), key=jr.key(3))[0]
    assert np.array_equal(taken, actor(seen, ())[0].mode())


def test_noise_may_be_swept():
    """σ as an array, one for each of a stack of behaviours."""
    actor = deterministic_actor(
        dataclasses.replace(networks(CONTINUOUS), dtype=jnp.float32), jr.key(1)
    )
    actor, seen = jax.tree.map(jnp.zeros_like, actor), jnp.zeros((500, 3))
    act = lambda sigma: Noisy(actor, sigma).act(seen, (), key=jr.key(3))[0]
    one, two = jax.vmap(act)(jnp.array([0.1, 0.2]))
    assert np.allclose(2 * one, two, rtol=1e-6)


def test_one_value_by_hand(x64):
    """Observation and action side by side, through the network."""
    critic = action_value(networks(CONTINUOUS), jr.key(2))
    seen, action = jr.normal(jr.key(0), (4, 6, 3)), jr.normal(jr.key(1), (4, 6, 2))
    first, last = critic.value.layers
    x = np.concatenate([seen, action], axis=-1)
    hidden = np.tanh(x @ np.asarray(first.weight) + np.asarray(first.bias))
    expected = hidden @ np.asarray(last.weight)[:, 0] + np.asarray(last.bias)
    assert np.allclose(critic(seen, action), expected, rtol=1e-12)


def test_networks_fit_the_spaces():
    """A picture of numbers in, a matrix of actions out: both flat inside."""
    observation, action = gym.spaces.Box(0, 1, (2, 3)), gym.spaces.Box(-1, 1, (2, 2))
    nets = Architecture(observation, action, (7, 5), "relu")
    actor, critic = deterministic_actor(nets, jr.key(0)), action_value(nets, jr.key(1))
    chosen = actor(jnp.ones((4, 2, 3)), ())[0].mode()
    assert chosen.shape == (4, 4) and chosen.dtype == jnp.float32
    assert critic(jnp.ones((4, 2, 3)), chosen).shape == (4,)
    assert [layer.weight.shape for layer in actor.pre_tanh.layers] == [(6, 7), (7, 5), (5, 4)]
    assert [layer.weight.shape for layer in critic.value.layers] == [(10, 7), (7, 5), (5, 1)]
