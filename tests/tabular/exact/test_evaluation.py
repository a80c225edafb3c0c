import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import (
    action_values,
    advantages,
    expected_return,
    finite_horizon_values,
    iterated_state_values,
    policy_backup,
    state_values,
    transition_matrix,
)
from rewardtogo.tabular.exact.occupancy import occupancy
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet


MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1)]


def five_by_five():
    """Sutton and Barto (2018), example 3.5: two springs that pay, walls that cost 1."""
    transition, reward = np.zeros((25, 4, 25)), np.zeros((25, 4))
    springs = {(0, 1): ((4, 1), 10), (0, 3): ((2, 3), 5)}
    for cell in np.ndindex(5, 5):
        for action, move in enumerate(MOVES):
            there, pay = (cell[0] + move[0], cell[1] + move[1]), 0
            if min(there) < 0 or max(there) > 4:
                there, pay = cell, -1
            there, pay = springs.get(cell, (there, pay))
            here = 5 * cell[0] + cell[1], action
            transition[*here, 5 * there[0] + there[1]], reward[here] = 1, pay
    return tabular_mdp(transition, reward, np.full(25, 1 / 25), discount=0.9)


def four_by_four():
    """Sutton and Barto (2018), example 4.1: -1 a step until a corner, undiscounted."""
    transition, reward = np.zeros((16, 4, 16)), np.full((16, 4), -1.0)
    for cell in np.ndindex(4, 4):
        for action, move in enumerate(MOVES):
            there = [np.clip(x + dx, 0, 3) for x, dx in zip(cell, move, strict=True)]
            transition[4 * cell[0] + cell[1], action, 4 * there[0] + there[1]] = 1
    corners = np.isin(np.arange(16), [0, 15])
    initial = ~corners / 14
    return tabular_mdp(transition, reward, initial, discount=1.0, terminal=corners)


def random_policy(key, states, actions):
    return jax.nn.softmax(jr.normal(key, (states, actions)))


def test_published_discounted_gridworld():
    """Sutton and Barto (2018), figure 3.2, to its one decimal."""
    published = [
        [3.3, 8.8, 4.4, 5.3, 1.5],
        [1.5, 3.0, 2.3, 1.9, 0.5],
        [0.1, 0.7, 0.7, 0.4, -0.4],
        [-1.0, -0.4, -0.4, -0.6, -1.2],
        [-1.9, -1.3, -1.2, -1.4, -2.0],
    ]
    values = state_values(five_by_five(), np.full((25, 4), 0.25))
    assert np.array_equal(np.round(values, 1).reshape(5, 5), published)


def test_published_undiscounted_gridworld():
    """Sutton and Barto (2018), figure 4.1: k = 3 as printed, and the limit exactly."""
    mdp, policy = four_by_four(), np.full((16, 4), 0.25)
    limit = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    assert np.allclose(state_values(mdp, policy), limit, rtol=1e-12, atol=1e-12)
    third = iterated_state_values(mdp, policy, iterations=3).reshape(4, 4)
    assert np.allclose(third[0], [0, -2.4375, -2.9375, -3.0], rtol=1e-12)
    assert np.isclose(expected_return(mdp, policy), sum(limit) / 14, rtol=1e-12)


@pytest.mark.parametrize("discount", [0.0, 0.9, 1.0])
def test_solve_and_iteration_agree(discount, key):
    mdp = garnet(num_states=6, num_actions=3, num_terminal=1, discount=discount, key=key)
    policy = random_policy(key, 6, 3)
    values = state_values(mdp, policy)
    iterated = iterated_state_values(mdp, policy, iterations=2000)
    assert values.dtype == np.float64  # outside of double precision too
    assert np.allclose(values, iterated, rtol=1e-10, atol=1e-12)
    assert np.allclose(policy_backup(mdp, policy, values), values, rtol=1e-6, atol=1e-7)
    assert values[-1] == 0


def test_action_values_and_advantages(key, x64):
    """By loops from the values: Q = Σ P (r + γV), E_π A = 0."""
    mdp = garnet(num_states=4, num_actions=2, branching=2, discount=0.8, key=key)
    policy = random_policy(key, 4, 2)
    v, q, a = state_values(mdp, policy), action_values(mdp, policy), advantages(mdp, policy)
    for s, action in np.ndindex(4, 2):
        expected = mdp.reward[s, action] + 0.8 * sum(mdp.transition[s, action] * v)
        assert np.isclose(q[s, action], expected, rtol=1e-12)
        assert np.isclose(a[s, action], q[s, action] - v[s], rtol=1e-10)
    assert np.allclose((policy * a).sum(1), 0, atol=1e-12)


def test_backup_is_a_contraction_attained_by_a_constant_shift(key, x64):
    mdp, policy = garnet(num_states=5, num_actions=2, discount=0.7, key=key), np.full((5, 2), 0.5)
    v = np.arange(5.0)
    assert np.allclose(policy_backup(mdp, policy, v + 3) - policy_backup(mdp, policy, v), 2.1)


@pytest.mark.parametrize("discount", [0.5, 1.0])
def test_finite_horizon_first_values_are_the_iterated_ones(discount, key, x64):
    """V_t of a stationary policy is B_π^{H-t} 0, on an MDP that never ends."""
    mdp = garnet(num_states=4, num_actions=3, discount=discount, key=key)
    policy = random_policy(key, 4, 3)
    values, q = finite_horizon_values(mdp, policy, horizon=5)
    for t in range(5):
        expected = iterated_state_values(mdp, policy, iterations=5 - t)
        assert np.allclose(values[t], expected, rtol=1e-12)
        assert np.allclose((policy * q[t]).sum(1), expected, rtol=1e-12)
    assert np.allclose(q[-1], mdp.reward, rtol=1e-12)


def test_steps_of_the_chain(key, x64):
    """P(s → s', k) = [(P^π)^k], by repeated products from a hand-built P^π."""
    mdp, policy = garnet(num_states=3, num_actions=2, discount=0.9, key=key), np.full((3, 2), 0.5)
    once = mdp.transition.mean(axis=1)
    assert np.allclose(transition_matrix(mdp, policy), once, rtol=1e-12)
    assert np.allclose(transition_matrix(mdp, policy, steps=3), once @ once @ once, rtol=1e-12)


def test_an_endless_policy_is_refused_without_discount():
    """A door that one action opens and the other does not; it is the policy that decides."""
    transition = np.zeros((3, 2, 3))
    transition[0, :, 1] = transition[1, 0, 2] = transition[1, 1, 0] = 1
    mdp = tabular_mdp(
        transition,
        -np.ones((3, 2)),
        [1.0, 0.0, 0.0],
        discount=1.0,
        terminal=[False, False, True],
    )
    leaves = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    assert np.allclose(state_values(mdp, leaves), [-4.0, -3.0, 0.0], rtol=1e-12)
    stays = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for function in (state_values, action_values, advantages, expected_return):
        with pytest.raises(ValueError, match="never ends from state 0"):
            function(mdp, stays)


def test_transformed_in_single_precision_it_is_refused(key):
    """Its backward pass would silently run in float32."""
    mdp = garnet(num_states=3, num_actions=2, discount=0.9, key=key)
    value = lambda theta: expected_return(mdp, jax.nn.softmax(theta))
    for transformed in (jax.grad(value), jax.jit(value)):
        with pytest.raises(ValueError, match="`expected_return` is exact and in float64"):
            transformed(jnp.zeros((3, 2)))
        with jax.enable_x64(True):
            assert transformed(jnp.zeros((3, 2))).dtype == jnp.float64


@pytest.mark.parametrize("question", [state_values, occupancy])
def test_a_policy_is_made_of_distributions(question, key):
    mdp = garnet(num_states=3, num_actions=2, discount=0.9, key=key)
    with pytest.raises(ValueError, match="`policy`"):
        question(mdp, np.ones((3, 2)))
    with pytest.raises(ValueError, match="`policy`"):
        question(mdp, np.tile([1.5, -0.5], (3, 1)))
