"""Products of categoricals, against every outcome written out and scipy."""

import itertools

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
import scipy.stats

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.multi_discrete import MultiCategorical


SIZES = (3, 1, 4)
LOGITS = np.random.default_rng(0).normal(size=(2, 8))
OTHER = np.random.default_rng(1).normal(size=(2, 8))
OUTCOMES = np.array(list(itertools.product(*map(range, SIZES))))


def table(logits):
    """The probability of each of the 12 outcomes, as outer products: `[batch, outcome]`."""
    parts = [scipy.special.softmax(part, axis=-1) for part in np.split(logits, [3, 4], axis=-1)]
    return np.einsum("bi,bj,bk->bijk", *parts).reshape(len(logits), -1)


@pytest.fixture
def distribution(x64):
    return MultiCategorical(jnp.asarray(LOGITS), SIZES)


def test_probabilities_are_those_of_the_product(distribution):
    outcomes = jnp.asarray(np.repeat(OUTCOMES[:, None], 2, axis=1), jnp.int32)  # [outcome, batch]
    ours = jax.vmap(distribution.log_prob)(outcomes)
    assert np.allclose(np.exp(ours).T, table(LOGITS), rtol=1e-12)


def test_entropy_and_divergence_are_those_of_the_product(distribution):
    p, q = table(LOGITS), table(OTHER)
    new = MultiCategorical(jnp.asarray(OTHER), SIZES)
    assert np.allclose(distribution.entropy(), scipy.stats.entropy(p, axis=-1), rtol=1e-12)
    expected = scipy.stats.entropy(p, q, axis=-1)
    assert np.allclose(distribution.kl_divergence(new), expected, rtol=1e-12)


def test_the_mode_is_the_likeliest_outcome(distribution):
    assert np.array_equal(distribution.mode(), OUTCOMES[table(LOGITS).argmax(axis=-1)])


def test_draws_have_these_frequencies(key):
    """Of all outcomes together: parts that share a key would not be independent."""
    draws = 20_000
    logits = np.broadcast_to(LOGITS[0], (draws, 8))
    action, log_prob = MultiCategorical(jnp.asarray(logits), SIZES).sample_and_log_prob(key)
    assert action.dtype == jnp.int32 and action.shape == (draws, 3)
    place = np.ravel_multi_index(tuple(np.asarray(action).T), SIZES)
    p = table(LOGITS[:1])[0]
    error = np.bincount(place, minlength=12) / draws - p
    assert np.all(np.abs(error) < 5 * np.sqrt(p * (1 - p) / draws))
    assert np.allclose(log_prob, np.log(p)[place], atol=1e-5)


def test_equal_parts_are_drawn_apart(key):
    action = MultiCategorical(jnp.zeros((1000, 4)), (2, 2)).sample(key)
    assert 0.4 < np.mean(np.asarray(action[:, 0] == action[:, 1])) < 0.6


@pytest.mark.parametrize(
    ("space", "sizes"),
    [(gym.spaces.MultiDiscrete([3, 2]), (3, 2)), (gym.spaces.MultiBinary(3), (2, 2, 2))],
    ids=["multi-discrete", "multi-binary"],
)
def test_a_policy_for_either_space(space, sizes, key):
    """Nearly uniform at first, and every action of it lies in the space."""
    seen = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    policy = Architecture(seen, space, (5,), "tanh").actor(key, log_std=0.0)
    distribution, carry = policy(jr.normal(key, (7, 2)), ())
    assert isinstance(distribution, MultiCategorical) and carry == ()
    assert distribution.logits.shape == (7, sum(sizes))
    assert np.allclose(distribution.entropy(), np.log(np.prod(sizes)), atol=1e-2)
    actions = [*np.asarray(distribution.sample(key)), *np.asarray(distribution.mode())]
    assert all(space.contains(action.astype(space.dtype)) for action in actions)
