"""Softmax policies linear in features: their score, and the exact gradient of small problems."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import scipy.special

from rewardtogo.losses.policy_gradient import clipped_surrogate, score_function
from rewardtogo.nn.softmax_linear import SoftmaxLinearPolicy, tabular_softmax
from rewardtogo.optim.trainable import trainable
from rewardtogo.tabular.exact.evaluation import advantages
from rewardtogo.tabular.exact.gradient import gradient_by_theorem
from rewardtogo.tabular.exact.occupancy import occupancy
from rewardtogo.tabular.problems.garnet import garnet


STATES, ACTIONS, FEATURES = 5, 3, 4
PHI = np.random.default_rng(0).normal(size=(STATES, ACTIONS, FEATURES))
THETA = np.random.default_rng(1).normal(size=FEATURES)

LOSSES = {
    "reinforce": lambda log_prob, old_log_prob, advantage: score_function(log_prob, advantage),
    "ppo": lambda *arrays: clipped_surrogate(*arrays, clip=0.2),
}


def linear(theta):
    return SoftmaxLinearPolicy(lambda state: jnp.asarray(PHI)[state], theta)


def tabular(theta):
    fresh = tabular_softmax(STATES, ACTIONS, dtype=jnp.float64)
    return SoftmaxLinearPolicy(fresh.features, theta)


POLICIES = {
    "linear": (linear, jnp.asarray(THETA)),
    "tabular": (tabular, jnp.asarray(np.random.default_rng(2).normal(size=STATES * ACTIONS))),
}


def test_the_score_is_the_feature_less_its_mean(x64):
    """∇log π(a | s) = φ(s, a) − Σ_b π(b | s) φ(s, b)."""
    states = jnp.arange(STATES)
    pi = scipy.special.softmax(PHI @ THETA, axis=-1)
    mean = np.einsum("sa,saf->sf", pi, PHI)
    for action in range(ACTIONS):
        chosen = jnp.full(STATES, action)
        log_prob = lambda theta: linear(theta)(states, ())[0].log_prob(chosen)  # noqa: B023
        score = jax.jacobian(log_prob)(jnp.asarray(THETA))
        assert np.allclose(log_prob(jnp.asarray(THETA)), np.log(pi[:, action]), rtol=1e-12)
        assert np.allclose(score, PHI[:, action] - mean, rtol=1e-12, atol=1e-14)


def test_the_table_is_one_parameter_for_each_pair(x64):
    """Whatever the leading axes of the states."""
    theta = jnp.arange(15.0)
    states = jnp.array([[2, 0], [4, 1], [3, 3]])
    logits = tabular(theta)(states, ())[0].logits
    assert np.array_equal(logits, np.arange(15.0).reshape(5, 3)[np.asarray(states)])
    assert np.array_equal(tabular(theta)(jnp.array(4), ())[0].logits, [12, 13, 14])


def test_a_fresh_table_is_uniform_and_all_that_learns():
    policy = tabular_softmax(STATES, ACTIONS)
    distribution, carry = policy(jnp.arange(STATES), policy.initial_carry())
    assert carry == () and np.allclose(distribution.entropy(), np.log(ACTIONS))
    params = jax.tree.leaves(trainable(policy, optax.sgd(0.1)).params)
    assert [x.shape for x in params] == [(STATES * ACTIONS,)] and params[0].dtype == jnp.float32


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kind", POLICIES)
def test_the_first_gradient_is_the_exact_one(loss, kind, x64):
    """Of REINFORCE's and PPO's loss, over every (s, a) with its true occupancy: −∇J."""
    make, theta = POLICIES[kind]
    theta = jnp.asarray(np.asarray(theta), jnp.float64)
    mdp = garnet(num_states=STATES, num_actions=ACTIONS, discount=0.9, key=jr.key(3))
    table = lambda theta: jax.nn.softmax(make(theta)(jnp.arange(STATES), ())[0].logits)
    old = table(theta)
    weight = jnp.asarray(occupancy(mdp, old))[:, None] * old
    advantage = jnp.asarray(advantages(mdp, old))
    state, action = jnp.meshgrid(jnp.arange(STATES), jnp.arange(ACTIONS), indexing="ij")

    def surrogate(theta):
        log_prob = make(theta)(state, ())[0].log_prob(action)
        return jnp.sum(weight * loss(log_prob, jnp.log(old), advantage))

    expected = -gradient_by_theorem(mdp, table, theta)
    assert np.abs(expected).max() > 1e-3
    assert np.allclose(jax.grad(surrogate)(theta), expected, rtol=1e-10, atol=1e-12)


def test_counts_below_one_are_refused():
    with pytest.raises(ValueError, match="`num_states` must be a whole number"):
        tabular_softmax(0, 3)
    with pytest.raises(ValueError, match=r"`num_actions`.*got -1"):
        tabular_softmax(4, -1)
