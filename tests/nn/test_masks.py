"""What is forbidden: by the softmax over the rest, by finite differences, without one NaN."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.special
import scipy.stats
from jax.test_util import check_grads

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.distributions import Categorical
from rewardtogo.nn.masks import MaskedPolicy
from rewardtogo.nn.multi_discrete import MultiCategorical
from rewardtogo.optim.trust_region import fisher
from rewardtogo.spaces import flattened


LOGITS = np.random.default_rng(0).normal(size=(4, 5))
ALLOWED = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], bool)
OF_EACH = np.array([0, 4, 2, 1])  # an allowed action of each row


def by_hand(logits, allowed):
    """The softmax over what is allowed, 0 elsewhere."""
    probabilities = np.zeros_like(logits)
    for row, (values, mask) in enumerate(zip(logits, allowed, strict=True)):
        probabilities[row, mask] = scipy.special.softmax(values[mask])
    return probabilities


def masked(logits):
    return Categorical(logits).only(jnp.asarray(ALLOWED))


def test_probabilities_are_the_softmax_over_what_is_allowed(x64):
    distribution, expected = masked(jnp.asarray(LOGITS)), by_hand(LOGITS, ALLOWED)
    actions = jnp.tile(jnp.arange(5, dtype=jnp.int32)[:, None], (1, 4))
    probabilities = np.exp(jax.vmap(distribution.log_prob)(actions)).T
    assert np.all(probabilities[~ALLOWED] == 0)
    assert np.allclose(probabilities, expected, rtol=1e-12)
    assert np.allclose(distribution.entropy(), scipy.stats.entropy(expected, axis=-1), rtol=1e-12)
    other = by_hand(LOGITS[::-1], ALLOWED)
    divergence = distribution.kl_divergence(masked(jnp.asarray(LOGITS[::-1].copy())))
    expected = [
        scipy.stats.entropy(p[m], q[m]) for p, q, m in zip(expected, other, ALLOWED, strict=True)
    ]
    assert np.allclose(divergence, expected, rtol=1e-12, atol=1e-15)
    assert np.array_equal(distribution.mode(), by_hand(LOGITS, ALLOWED).argmax(axis=-1))


def test_gradients_are_those_of_finite_differences(x64):
    """To second order, as a Fisher product takes them; what is forbidden has none."""
    logits, old = jnp.asarray(LOGITS), masked(jnp.asarray(LOGITS[::-1].copy()))

    def objective(logits):
        new = masked(jnp.asarray(logits))
        terms = (new.log_prob(jnp.asarray(OF_EACH)), new.entropy(), old.kl_divergence(new))
        return sum(
            term.sum() * weight for term, weight in zip(terms, (1.0, 0.7, -0.4), strict=True)
        )

    check_grads(objective, (logits,), order=2, modes=("fwd", "rev"), rtol=1e-6, atol=1e-8)
    assert np.all(np.asarray(jax.grad(objective)(logits))[~ALLOWED] == 0)


def test_a_forbidden_action_has_no_probability_and_no_nan():
    """Among others that are allowed: their gradients stay."""
    logits = jnp.asarray(LOGITS, jnp.float32)
    actions = jnp.array([2, 4, 2, 1])  # the first is forbidden
    assert np.array_equal(
        np.isneginf(masked(logits).log_prob(actions)), [True, False, False, False]
    )
    slope = jax.grad(lambda logits: masked(logits).log_prob(actions)[1:].sum())(logits)
    assert np.all(np.isfinite(slope)) and np.any(slope[2:] != 0)


def test_forbidden_actions_are_never_drawn(key):
    many = Categorical(jnp.zeros((4000, 5))).only(jnp.asarray(np.tile(ALLOWED, (1000, 1))))
    action = np.asarray(many.sample(key))
    assert np.all(np.tile(ALLOWED, (1000, 1))[np.arange(4000), action])
    assert np.array_equal(np.unique(action[::4]), [0, 1, 3])


def test_where_nothing_is_allowed_everything_is():
    nothing = Categorical(jnp.asarray(LOGITS)).only(jnp.zeros((4, 5), bool))
    assert np.array_equal(nothing.logits, jnp.asarray(LOGITS))


def test_parts_are_masked_apart(x64):
    """The mask of a part that allows nothing leaves that part free, and only that."""
    allowed = jnp.array([[True, False, True, False, False]])
    distribution = MultiCategorical(jnp.asarray(LOGITS[:1]), (3, 2)).only(allowed)
    first, second = LOGITS[:1, :3], LOGITS[:1, 3:]
    p = by_hand(first, np.array([[True, False, True]])), scipy.special.softmax(second, axis=-1)
    expected = sum(scipy.stats.entropy(part, axis=-1) for part in p)
    assert np.allclose(distribution.entropy(), expected, rtol=1e-12)
    assert np.isneginf(distribution.log_prob(jnp.array([[1, 0]])))
    assert np.allclose(distribution.log_prob(jnp.array([[2, 1]])), np.log(p[0][0, 2] * p[1][0, 1]))


def policy_for(action_space, length, key) -> Any:
    """Two numbers are seen beside the mask, which comes first."""
    parts = {
        "observation": gym.spaces.Box(-1.0, 1.0, (2,), np.float32),
        "action_mask": gym.spaces.Box(0, 1, (length,), np.int8),
    }
    space = flattened(gym.spaces.Dict(parts))
    return Architecture(space, action_space, (4,), "tanh").actor(key, log_std=0.0)


def test_a_policy_reads_its_mask_from_the_observation(key):
    policy = policy_for(gym.spaces.Discrete(5), 5, key)
    seen = jnp.concatenate([jnp.asarray(ALLOWED, jnp.float32), jr.normal(key, (4, 2))], axis=-1)
    distribution, carry = policy(seen, ())
    assert isinstance(policy, MaskedPolicy) and carry == ()
    assert np.array_equal(np.isneginf(distribution.logits), ~ALLOWED)
    log_prob = lambda policy: policy(seen, ())[0].log_prob(jnp.asarray(OF_EACH)).sum()
    slopes = jax.tree.leaves(eqx.filter_grad(log_prob)(policy))
    assert slopes and all(np.all(np.isfinite(slope)) for slope in slopes)


@pytest.mark.parametrize(
    ("space", "length"),
    [(gym.spaces.Discrete(4), 5), (gym.spaces.MultiDiscrete([3, 2]), 4)],
)
def test_a_mask_of_another_length_is_refused(space, length, key):
    with pytest.raises(ValueError, match=rf"`action_mask` has {length} entries, but.*needs"):
        policy_for(space, length, key)


def test_a_mask_of_continuous_actions_is_refused(key):
    with pytest.raises(ValueError, match="has no choices to forbid"):
        policy_for(gym.spaces.Box(-1.0, 1.0, (2,)), 2, key)


def test_the_fisher_matrix_of_a_masked_policy(x64):
    r"""For logits it is diag(p) − p pᵀ, whose rows and columns of what is forbidden are 0."""
    metric = fisher(lambda theta: masked(theta.reshape(4, 5)), jnp.asarray(LOGITS).ravel())
    p = by_hand(LOGITS, ALLOWED)
    vector = np.random.default_rng(5).normal(size=(4, 5))
    expected = (p * vector - p * (p * vector).sum(-1, keepdims=True)) / 4
    found = metric.product(jnp.asarray(vector).ravel()).reshape(4, 5)
    assert np.allclose(found, expected, rtol=1e-10, atol=1e-14)
