import itertools

import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import finite_horizon_values, state_values
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.tabular.solvers.finite_horizon import (
    optimal_finite_horizon,
    optimal_finite_horizon_return,
)


HORIZON = 3


def small(key, discount):
    return garnet(num_states=3, num_actions=2, discount=discount, num_terminal=1, key=key)


def best_by_enumeration(mdp, steps):
    """The best of all deterministic policies of state and time, for every state; NumPy alone."""
    rules = list(itertools.product(range(2), repeat=3))  # one decision rule: an action a state
    states, best = np.arange(3), np.full(3, -np.inf)
    for plan in itertools.product(rules, repeat=steps):
        value = np.zeros(3)
        for rule in reversed(plan):
            onward = mdp.transition[states, rule] @ value
            value = mdp.reward[states, rule] + mdp.discount * onward
        best = np.maximum(best, value)
    return best


@pytest.mark.parametrize("discount", [0.7, 1.0])
def test_no_policy_of_state_and_time_is_better(discount, key):
    mdp = small(key, discount)
    values, action_values, policy = optimal_finite_horizon(mdp, horizon=HORIZON)
    assert values.dtype == np.float64 and np.issubdtype(policy.dtype, np.integer)
    for time in range(HORIZON):
        best = best_by_enumeration(mdp, HORIZON - time)
        assert np.allclose(values[time], best, rtol=0, atol=1e-14)
        onward = best_by_enumeration(mdp, HORIZON - time - 1)
        one_step = mdp.reward + discount * mdp.transition @ onward
        assert np.allclose(action_values[time], one_step, rtol=0, atol=1e-14)
        taken = action_values[time][np.arange(3), policy[time]]
        assert np.array_equal(taken, values[time])
    expected = mdp.initial @ best_by_enumeration(mdp, HORIZON)
    assert np.isclose(
        optimal_finite_horizon_return(mdp, horizon=HORIZON), expected, rtol=0, atol=1e-14
    )


def test_a_stationary_policy_may_be_too_little():
    """Two steps: wait for 2 at the second, or take 1 and end. With one step left, take."""
    transition = np.zeros((3, 2, 3))
    transition[0, 0, 1] = transition[1, 0, 2] = 1  # on to the prize
    transition[:, 1, 2] = transition[2, 0, 2] = 1
    reward = np.array([[0, 1], [2, 1], [0, 0]])
    mdp = tabular_mdp(transition, reward, [1, 0, 0], discount=1.0)
    values, _, policy = optimal_finite_horizon(mdp, horizon=2)
    assert policy[:, 0].tolist() == [0, 1]
    assert values.tolist() == [[2, 2, 0], [1, 2, 0]]
    assert optimal_finite_horizon_return(mdp, horizon=1) == 1


def test_a_long_horizon_is_an_endless_one(key):
    """Its first rule is then a stationary optimum: no action improves on that rule's own values."""
    mdp = garnet(num_states=6, num_actions=3, discount=0.8, key=key)
    values, _, policy = optimal_finite_horizon(mdp, horizon=200)
    endless = state_values(mdp, np.eye(3)[policy[0]])
    improved = (mdp.reward + 0.8 * mdp.transition @ endless).max(axis=1)
    assert np.allclose(improved, endless, rtol=0, atol=1e-13)
    assert np.allclose(values[0], endless, rtol=0, atol=1e-13)


def test_a_random_policy_is_below(key):
    mdp = small(key, 1.0)
    values, action_values, _ = optimal_finite_horizon(mdp, horizon=HORIZON)
    policy = np.asarray(jr.dirichlet(jr.key(1), np.ones(2), (3,)))
    below, q_below = finite_horizon_values(mdp, policy, horizon=HORIZON)
    assert np.all(below <= values) and np.all(below[:, :2] < values[:, :2])
    assert np.all(q_below <= action_values)


@pytest.mark.parametrize("function", [optimal_finite_horizon, optimal_finite_horizon_return])
def test_a_horizon_is_a_number_of_steps(function, key):
    with pytest.raises(ValueError, match=r"`horizon` .* got 0"):
        function(small(key, 1.0), horizon=0)
