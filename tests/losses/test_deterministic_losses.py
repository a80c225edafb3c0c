"""Oracles: a linear–quadratic problem, whose values and returns are solved; targets by hand."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.losses.deterministic import actor_loss, smoothed_action


STEPS = 400  # γᵗ has fallen to 1e-18 by then
A = np.array([[0.9, 0.2], [-0.3, 0.7]])
B = np.array([0.4, -0.5])
STATE_COST = np.array([[1.0, 0.2], [0.2, 0.5]])
ACTION_COST, DISCOUNT = 0.3, 0.9
THETA = np.array([0.2, 0.6])
START = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.4]])  # each with probability 1/3


def cost_to_go(theta):
    """P of V(s) = −sᵀPs: P = Q + Rθθᵀ + γ FᵀPF with F = A + Bθᵀ."""
    loop = jnp.asarray(A) + jnp.outer(jnp.asarray(B), theta)
    cost = jnp.asarray(STATE_COST) + ACTION_COST * jnp.outer(theta, theta)
    system = jnp.eye(4) - DISCOUNT * jnp.kron(loop.T, loop.T)
    return jnp.linalg.solve(system, cost.ravel()).reshape(2, 2)


def expected_return(theta):
    return -jnp.einsum("ni,ij,nj->", START, cost_to_go(theta), START) / len(START)


def action_value(state, action):
    """Qᵘ(s, a) at the parameters THETA, whatever the action."""
    after = state @ A.T + jnp.einsum("...i,j->...j", action, B)
    p = cost_to_go(jnp.asarray(THETA))
    now = jnp.einsum("...i,ij,...j->...", state, STATE_COST, state)
    later = jnp.einsum("...i,ij,...j->...", after, p, after)
    return -(now + ACTION_COST * action[..., 0] ** 2 + DISCOUNT * later)


def visited():
    """s₀, s₁, … from each start: nothing is random."""
    states = [START]
    for _ in range(STEPS - 1):
        states.append(states[-1] @ (A + np.outer(B, THETA)).T)
    assert np.abs(np.linalg.eigvals(A + np.outer(B, THETA))).max() < 1
    return np.stack(states)


def gradient(states, weights):
    def total(theta):
        action = (states @ theta)[..., None]
        return jnp.sum(weights * actor_loss(action_value(states, action)))

    return jax.grad(total)(jnp.asarray(THETA))


def test_the_gradient_over_true_visits_is_that_of_the_return(x64):
    """Σ γᵗ over the states visited: −∇J, which the Lyapunov solution differentiates."""
    weights = DISCOUNT ** np.arange(STEPS)[:, None] * np.full((1, len(START)), 1 / len(START))
    exact = jax.grad(expected_return)(jnp.asarray(THETA))
    ahead, behind = (
        expected_return(jnp.asarray(THETA) + sign * 1e-5 * exact) for sign in (1.0, -1.0)
    )
    assert np.allclose((ahead - behind) / 2e-5, exact @ exact, rtol=1e-6)
    assert np.allclose(gradient(visited(), weights), -exact, rtol=1e-9)
    # Visits that start at t = 1, as a slip would have it, do not give it.
    late = gradient(visited()[1:], weights[1:])
    assert not np.allclose(late, -exact, rtol=0.05)


def test_over_others_states_it_is_no_gradient_of_theirs(x64):
    """Off-policy the change of Q with θ is missing: the gap is that term, in closed form."""
    states = np.array([[0.5, 1.0], [-2.0, 0.3], [1.0, 1.0]])

    def value_there(theta):
        return -jnp.einsum("ni,ij,nj->", states, cost_to_go(theta), states)

    def of_q_alone(theta):
        after = states @ (A + np.outer(B, THETA)).T
        return -DISCOUNT * jnp.einsum("ni,ij,nj->", after, cost_to_go(theta), after)

    theta = jnp.asarray(THETA)
    ours = -gradient(states, np.ones(len(states)))
    missing = jax.grad(of_q_alone)(theta)
    assert np.allclose(ours + missing, jax.grad(value_there)(theta), rtol=1e-9)
    assert np.abs(missing).max() > 0.1


def test_the_loss_is_elementwise():
    assert np.array_equal(actor_loss(jnp.array([[1.0, -2.0]])), [[-1.0, 2.0]])


@pytest.mark.parametrize(
    ("action", "noise", "expected"),
    [
        (0.2, 0.1, 0.3),
        (0.2, -0.9, -0.3),  # the noise is clipped to −0.5
        (0.2, 0.7, 0.7),  # to 0.5
        (0.8, 0.4, 1.0),  # the action is clipped to 1, and not the noise first to the box
        (-0.9, -0.9, -1.0),
    ],
)
def test_smoothed_actions_by_hand(action, noise, expected, x64):
    ours = smoothed_action(jnp.array([action]), jnp.array([noise]), noise_clip=0.5)
    assert np.allclose(ours, [expected], rtol=1e-12)


@pytest.mark.parametrize("noise_clip", [0.0, 0.3, 5.0])
def test_smoothing_stays_near_and_inside(noise_clip, x64):
    action = jr.uniform(jr.key(0), (50, 2), minval=-1.0)
    noise = jr.normal(jr.key(1), (50, 2))
    ours = np.asarray(smoothed_action(action, noise, noise_clip=noise_clip))
    assert np.abs(ours).max() <= 1
    assert np.abs(ours - action).max() <= noise_clip + 1e-12
    free = (np.abs(noise) < noise_clip) & (np.abs(action + noise) < 1)
    assert np.allclose(ours[free], (action + noise)[free], rtol=1e-12)
    if noise_clip == 0:
        assert np.array_equal(ours, action)
