"""Whose σ it is: everyone's, each state's, or nobody's; and how weights begin."""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.policies import FixedGaussianPolicy, GaussianPolicy, StateGaussianPolicy
from rewardtogo.optim.trainable import trainable


SEEN = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
KINDS = {
    "learned": GaussianPolicy,
    "state": StateGaussianPolicy,
    "fixed": FixedGaussianPolicy,
}


def nets(**changes: Any) -> Architecture:
    return Architecture(SEEN, ACTIONS, (6, 5), "tanh", jnp.float64, **changes)


def actor(std: Any, *, log_std: float = -0.7) -> Any:
    return nets().actor(jr.key(0), log_std=log_std, std=std)


@pytest.mark.parametrize("std", KINDS)
def test_every_policy_begins_with_the_deviation_it_was_given(std, key, x64):
    policy = actor(std)
    assert type(policy) is KINDS[std]
    distribution, carry = policy(jr.normal(key, (50, 3)), ())
    assert carry == () and distribution.log_std.shape == (50, 2)
    assert np.abs(distribution.mean).max() < 0.1
    assert np.allclose(distribution.log_std, -0.7, atol=0 if std != "state" else 0.05)


def test_a_deviation_of_the_state_depends_on_it(key, x64):
    seen = jr.normal(key, (50, 3))
    assert np.ptp(actor("state")(seen, ())[0].log_std) > 1e-3
    for std in ("learned", "fixed"):
        assert np.ptp(actor(std)(seen, ())[0].log_std) == 0


def test_a_fixed_deviation_is_no_parameter(x64):
    """A descent of everything that learns leaves σ where it is."""
    sizes = lambda policy: [
        x.size for x in jax.tree.leaves(trainable(policy, optax.sgd(1.0)).params)
    ]
    learned, fixed = sizes(actor("learned")), sizes(actor("fixed"))
    assert sum(learned) - sum(fixed) == 2  # one log σ for each dimension of the action
    moved = jax.tree.map(lambda x: x + 1.0, actor("fixed"))
    assert np.all(np.asarray(moved(jnp.zeros(3), ())[0].log_std) == -0.7)


@pytest.mark.parametrize("std", ["learned", "state"])
def test_the_score_keeps_minus_log_sigma(std, key, x64):
    """∂ log π / ∂ log σ = (a − μ)²/σ² − 1; without −log σ the 1 would be missing."""
    policy, seen, action = actor(std), jr.normal(key, (3,)), jnp.array([0.9, -1.7])
    where = lambda p: p.log_std if std == "learned" else p.mean_and_log_std.layers[-1].bias
    leaves, tree = jax.tree.flatten(policy)
    log_prob = lambda leaves: jax.tree.unflatten(tree, leaves)(seen, ())[0].log_prob(action)
    score = where(jax.tree.unflatten(tree, jax.grad(log_prob)(leaves)))[-2:]
    head, _ = policy(seen, ())
    expected = np.square((action - head.mean) / np.exp(head.log_std)) - 1
    assert np.allclose(score, expected, rtol=1e-10)


def test_a_deviation_of_the_state_is_kept_within_range(key, x64):
    wild = jax.tree.map(lambda x: 1e4 * x, actor("state", log_std=0.0))
    log_std = wild(jr.normal(key, (50, 3)), ())[0].log_std
    assert (log_std.min(), log_std.max()) == (-20, 2)
    assert np.all(np.isfinite(wild(jr.normal(key, (50, 3)), ())[0].entropy()))


def weights(model: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(model) if x.ndim == 2]


@pytest.mark.parametrize("output", [("actor", 0.01), ("state_value", 1.0)])
def test_orthogonal_weights(output, x64):
    """WᵀW = gain² I, or WWᵀ where there are fewer rows."""
    name, gain = output
    model = {"actor": actor("learned"), "state_value": nets().state_value(jr.key(1))}[name]
    for weight, expected in zip(weights(model), [2**0.5, 2**0.5, gain], strict=True):
        thin = weight if weight.shape[0] >= weight.shape[1] else weight.T
        assert np.allclose(thin.T @ thin, expected**2 * np.eye(thin.shape[1]), atol=1e-12)


def test_fan_in_weights(x64):
    """Uniform on ±1/√inputs in every layer: within it, and near it somewhere; no bias at first."""
    wide = Architecture(SEEN, ACTIONS, (40, 30), "tanh", jnp.float64, initialisation="fan-in")
    for model in (wide.actor(jr.key(0), log_std=0.0), wide.state_value(jr.key(1))):
        for weight in weights(model):
            scaled = np.abs(weight) * weight.shape[0] ** 0.5
            assert 0.9 < scaled.max() <= 1 and 0.3 < scaled.mean() < 0.7
        assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(model) if x.ndim == 1)


def test_names_that_there_are_not():
    with pytest.raises(ValueError, match=r"Unknown std `sate`\. Did you mean `state`"):
        actor("sate")
    with pytest.raises(ValueError, match=r"Unknown initialisation `fan_in`\. Did you mean"):
        nets(initialisation="fan_in")
