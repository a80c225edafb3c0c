import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.envs.probes import Chain, ContinuousTarget


def test_chain_is_a_corridor():
    """Left into the wall, then right to the end: by hand."""
    env = Chain(length=4)
    state, observation = env.reset(jr.key(0))
    assert observation.tolist() == [1, 0, 0, 0]
    _, steps = jax.lax.scan(env.step, state, jnp.array([0, 1, 0, 1, 1, 1]))
    assert jnp.argmax(steps.observation, axis=-1).tolist() == [0, 1, 0, 1, 2, 3]
    assert jnp.all(steps.observation.sum(-1) == 1)
    assert steps.reward.tolist() == [0, 0, 0, 0, 0, 1]
    assert steps.terminated.tolist() == [False] * 5 + [True]
    assert not steps.truncated.any()


def test_chain_value_is_the_stated_power():
    """γ^(n - 2 - s) against value iteration over the environment's own steps."""
    env, discount = Chain(length=6), 0.9
    value = np.zeros(6)
    places = jax.vmap(lambda position: type(env.reset(jr.key(0))[0])(position))(jnp.arange(5))
    _, steps = jax.vmap(jax.vmap(env.step, (None, 0)), (0, None))(places, jnp.arange(2))
    successor = np.asarray(steps.observation.argmax(-1))
    for _ in range(10):
        target = steps.reward + discount * ~steps.terminated * value[successor]
        value[:5] = target.max(axis=1)
    assert np.allclose(value[:5], discount ** (4.0 - np.arange(5)), atol=1e-6)


@pytest.mark.parametrize("length", [1, 0, -3])
def test_a_chain_needs_two_places(length):
    with pytest.raises(ValueError, match="at least 2"):
        Chain(length=length)


def test_continuous_target_pays_by_its_formula(x64):
    env = ContinuousTarget(dtype="float64")
    states, seen = jax.vmap(env.reset)(jr.split(jr.key(0), 2000))
    assert scipy.stats.kstest(np.asarray(seen)[:, 0], "uniform", (-1, 2)).pvalue > 1e-3
    for action, reward in [
        (seen / 2, 0 * seen),
        (seen / 2 + 0.3, 0 * seen - 0.09),
        (-seen, -2.25 * seen**2),
    ]:
        _, steps = jax.vmap(env.step)(states, action)
        assert jnp.allclose(steps.reward, reward[:, 0], atol=1e-12)
        assert jnp.array_equal(steps.observation, seen)
        assert steps.terminated.all() and not steps.truncated.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("probe", [Chain, ContinuousTarget])
def test_probes_keep_their_dtype_and_spaces(probe, dtype, x64):
    env = probe(dtype=dtype)
    state, observation = env.reset(jr.key(0))
    action = jnp.asarray(env.action_space.sample())
    after, step = env.step(state, action)
    assert observation.dtype == step.observation.dtype == step.reward.dtype == jnp.dtype(dtype)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    for array in (observation, step.observation):
        assert env.observation_space.contains(np.asarray(array))
