import jax
import jax.numpy as jnp
import pytest

from rewardtogo.losses.policy_gradient import clipped_surrogate, importance_weighted, score_function


CASES = [
    (1.0, 0.7, 1),
    (1.0, 1.0, 1),
    (1.0, 1.3, 0),
    (-1.0, 0.7, 0),
    (-1.0, 1.0, -1),
    (-1.0, 1.3, -1),
]


@pytest.mark.parametrize(("advantage", "ratio", "gradient"), CASES)
def test_clipped_objective_gradient_in_the_ratio(advantage, ratio, gradient, x64):
    """A5: for A = +1 at .7, 1, 1.3: 1, 1, 0; for A = -1: 0, -1, -1."""

    def objective(ratio):
        old_log_prob = jnp.log(jnp.array([0.2]))
        log_prob = old_log_prob + jnp.log(ratio)
        return -clipped_surrogate(log_prob, old_log_prob, jnp.array([advantage]), clip=0.2)[0]

    assert jnp.allclose(jax.grad(objective)(ratio), gradient, atol=1e-12)


def test_clipped_surrogate_values():
    """-min(ρA, clip(ρ)A) by hand, with ε = 0.2."""
    ratio = jnp.array([0.5, 0.5, 1.5, 1.5, 1.1])
    advantage = jnp.array([2.0, -2.0, 2.0, -2.0, 1.0])
    loss = clipped_surrogate(jnp.log(ratio), jnp.zeros(5), advantage, clip=0.2)
    assert jnp.allclose(loss, jnp.array([-1.0, 1.6, -2.4, 3.0, -1.1]), rtol=1e-6)


def test_importance_weighted_values():
    """-ρA by hand, whatever the ratio."""
    ratio, advantage = jnp.array([0.5, 1.0, 3.0]), jnp.array([2.0, -2.0, 1.5])
    loss = importance_weighted(jnp.log(ratio), jnp.zeros(3), advantage)
    assert jnp.allclose(loss, jnp.array([-1.0, 2.0, -4.5]), rtol=1e-6)


def test_score_function_is_the_weighted_log_probability():
    log_prob, advantage = jnp.array([[-1.0, -2.0]]), jnp.array([[3.0, -0.5]])
    assert jnp.allclose(score_function(log_prob, advantage), jnp.array([[3.0, -1.0]]))


@pytest.mark.parametrize(
    "loss",
    [
        score_function,
        lambda l, a: clipped_surrogate(l, l - 0.1, a, clip=0.2),
        lambda l, a: importance_weighted(l, l - 0.1, a),
    ],
)
def test_advantages_are_constants(loss):
    """Gradients reach the policy through its log-probability only."""
    log_prob, advantage = jnp.array([-1.0]), jnp.array([0.5])
    assert jax.grad(lambda a: loss(log_prob, a).sum())(advantage) == 0


def test_the_old_policy_is_a_constant():
    loss = lambda old: clipped_surrogate(jnp.array([-1.0]), old, jnp.array([1.0]), clip=0.2).sum()
    assert jax.grad(loss)(jnp.array([-1.05])) == 0
    loss = lambda old: importance_weighted(jnp.array([-1.0]), old, jnp.array([1.0])).sum()
    assert jax.grad(loss)(jnp.array([-1.05])) == 0
