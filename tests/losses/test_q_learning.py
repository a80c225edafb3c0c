import jax
import jax.numpy as jnp
import numpy as np

from rewardtogo.losses.q_learning import bellman_target, double_q_value, max_value, taken


ONLINE = jnp.array([[1.0, 4.0, 2.0], [3.0, 0.0, 1.0]])
TARGET = jnp.array([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])


def test_bellman_target_ends_at_termination_only():
    """By hand; the worth of a terminal successor is never read, whatever it holds."""
    reward, next_value = jnp.array([1.0, 1.0, 2.0]), jnp.array([10.0, jnp.nan, -4.0])
    terminated = jnp.array([False, True, False])
    target = bellman_target(reward, next_value, terminated, discount=0.5)
    assert jnp.array_equal(target, jnp.array([6.0, 1.0, 0.0]))
    grad = jax.grad(lambda v: bellman_target(reward, v, terminated, discount=0.5).sum())
    assert jnp.all(grad(next_value) == 0)


def test_one_network_chooses_and_the_other_judges():
    assert jnp.array_equal(double_q_value(ONLINE, TARGET), jnp.array([20.0, 40.0]))
    assert jnp.array_equal(double_q_value(TARGET, ONLINE), jnp.array([2.0, 1.0]))
    assert jnp.array_equal(max_value(TARGET), jnp.array([30.0, 60.0]))


def test_taken_is_indexing_with_the_gradient_of_indexing():
    action = jnp.array([2, 0])
    assert jnp.array_equal(taken(ONLINE, action), np.asarray(ONLINE)[[0, 1], [2, 0]])
    assert jnp.array_equal(taken(ONLINE[0], action[0]), ONLINE[0, 2])
    grad = jax.grad(lambda q: taken(q, action).sum())(ONLINE)
    assert jnp.array_equal(grad, np.eye(3)[[2, 0]])
