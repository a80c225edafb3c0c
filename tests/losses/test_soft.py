"""Oracle: the Gibbs policy, which is where the soft losses must be stationary."""

import jax
import jax.numpy as jnp
import pytest

from rewardtogo.losses.soft import actor_loss, expected, soft_value, temperature_loss


Q = jnp.array([1.0, -0.5, 2.0])


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_soft_value_of_the_gibbs_policy(temperature, x64):
    """T8: v = τ log Σ exp(q/τ) for every action that π ∝ exp(q/τ) may draw."""
    q = Q.astype(jnp.float64)
    log_prob = jax.nn.log_softmax(q / temperature)
    expected = temperature * jax.nn.logsumexp(q / temperature)
    assert jnp.allclose(soft_value(q, log_prob, temperature), expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_actor_loss_is_least_at_the_gibbs_policy(temperature, x64):
    """Its expectation is τ KL(π ‖ exp(q/τ)/Z) - τ log Z; stationary at the optimum only."""
    q = Q.astype(jnp.float64)

    def expected_loss(logits):
        log_prob = jax.nn.log_softmax(logits)
        return jnp.sum(jnp.exp(log_prob) * actor_loss(log_prob, q, temperature))

    value, grad = jax.value_and_grad(expected_loss)(q / temperature)
    assert jnp.allclose(value, -temperature * jax.nn.logsumexp(q / temperature), rtol=1e-12)
    assert jnp.allclose(grad, 0, atol=1e-12)
    assert jnp.abs(jax.grad(expected_loss)(q)).max() > 1e-2


def test_actor_loss_moves_the_policy_and_not_the_temperature():
    log_prob, q = jnp.array([-1.0]), jnp.array([2.0])
    grads = jax.grad(lambda *x: actor_loss(*x).sum(), (0, 1, 2))(log_prob, q, jnp.array(0.5))
    assert [float(g.sum()) for g in grads] == [0.5, -1.0, 0.0]


@pytest.mark.parametrize("entropy", [0.5, 1.5])
def test_temperature_rises_while_entropy_is_too_low(entropy):
    """∂/∂log τ E[loss] = τ (H - H̄): descent raises τ where H < H̄; log π stays a constant."""
    log_prob, log_temperature = jnp.full(4, -entropy), jnp.log(0.2)
    loss = lambda t, l: temperature_loss(t, l, 1.0).mean()
    slope, through = jax.grad(loss, (0, 1))(log_temperature, log_prob)
    assert jnp.allclose(slope, 0.2 * (entropy - 1.0), rtol=1e-6)
    assert jnp.all(through == 0)


def test_expected_is_what_samples_average_to(x64):
    """Σ π f, by hand; an action that is never drawn adds nothing, and no NaN to a gradient."""
    q = jnp.array([1.0, -0.5, 2.0, jnp.nan])
    logits = jnp.array([0.3, 0.1, -1.0, -jnp.inf])

    def value(logits):
        log_probs = jax.nn.log_softmax(logits)
        return expected(log_probs, soft_value(q, log_probs, 0.7))

    weight = [2.718281828459045**x for x in (0.3, 0.1, -1.0)]
    policy = [w / sum(weight) for w in weight]
    by_hand = sum(p * (x - 0.7 * jnp.log(p)) for p, x in zip(policy, q[:3], strict=True))
    assert jnp.allclose(value(logits), by_hand, rtol=1e-12)
    # ∂/∂ logit_a of Σ π (q − τ log π) is π_a (q_a − τ log π_a − the sum).
    slope = [p * (x - 0.7 * jnp.log(p) - by_hand) for p, x in zip(policy, q[:3], strict=True)]
    assert jnp.allclose(jax.grad(value)(logits), jnp.array([*slope, 0.0]), rtol=1e-10)
