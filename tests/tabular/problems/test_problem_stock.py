import math

import numpy as np
import pytest
from plain_values import optimal_action_values, optimal_values

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense


def poisson(mean, most):
    return [math.exp(-mean) * mean**k / math.factorial(k) for k in range(most)]


def day_by_hand(first, second, moved):
    """Every number of requests and returns below 20, one at a time: the rest is below 1e-8."""
    first, second = min(first - moved, 20), min(second + moved, 20)
    chance, pay = np.zeros((21, 21)), 0.0
    for wanted, p in enumerate(poisson(3, 20)):
        for wanted_2, p_2 in enumerate(poisson(4, 20)):
            rented, rented_2 = min(wanted, first), min(wanted_2, second)
            pay += p * p_2 * 10 * (rented + rented_2)
            back = np.bincount(
                np.minimum(np.arange(20) + first - rented, 20), poisson(3, 20), minlength=21
            )
            back_2 = np.bincount(
                np.minimum(np.arange(20) + second - rented_2, 20), poisson(2, 20), minlength=21
            )
            chance += p * p_2 * np.outer(back, back_2)
    return chance.ravel(), pay - 2 * abs(moved)


@pytest.mark.parametrize("where", [(0, 0, 0), (7, 3, 4), (3, 19, -2), (20, 20, 5)])
def test_a_day_of_jacks_by_enumeration(where):
    mdp = dense(problem("JacksCarRental").mdp)
    first, second, moved = where
    chance, pay = day_by_hand(*where)
    assert np.allclose(mdp.transition[21 * first + second, moved + 5], chance, atol=1e-6)
    assert np.isclose(mdp.reward[21 * first + second, moved + 5], pay, atol=1e-5)


def test_the_noise_of_jacks_pay_is_that_of_the_rentals():
    """The two numbers of cars rented are independent; moving is certain."""
    mdp = dense(problem("JacksCarRental").mdp)

    def variance(mean, cars):
        p = np.array(poisson(mean, 60))
        rented = np.minimum(np.arange(60), cars)
        return 100 * (p @ rented**2 - (p @ rented) ** 2)

    for first, second in [(0, 0), (2, 9), (20, 1)]:
        found = mdp.reward_variance()[21 * first + second, 5]
        assert np.isclose(found, variance(3, first) + variance(4, second), rtol=1e-4, atol=1e-3)


def test_jacks_policy_is_that_of_figure_4_2():
    found = problem("JacksCarRental")
    q = optimal_action_values(found.mdp)
    policy = (q.argmax(axis=1) - 5).reshape(21, 21)
    assert (policy.min(), policy.max()) == (-4, 5)
    assert policy[20, 0] == 5 and policy[0, 20] == -4 and policy[0, 0] == 0 == policy[20, 20]
    # More cars at the first place, or fewer at the second: never fewer to be moved there.
    assert np.all(np.diff(policy, axis=0) >= 0) and np.all(np.diff(policy, axis=1) <= 0)
    assert np.isclose(q.max(axis=1).min(), 421, atol=1)
    first, second = np.divmod(np.arange(441), 21)
    assert np.all(policy.ravel() <= first) and np.all(-policy.ravel() <= second)


def test_asking_for_cars_that_are_not_there_only_costs():
    mdp = dense(problem("JacksCarRental").mdp)
    assert np.allclose(mdp.transition[21 * 2 + 4, 10], mdp.transition[21 * 2 + 4, 7], rtol=1e-12)
    assert np.isclose(mdp.reward[21 * 2 + 4, 7] - mdp.reward[21 * 2 + 4, 10], 6, rtol=1e-9)


def test_forest_is_that_of_pymdptoolbox():
    """The example in its documentation: (26.244, 29.484, 33.484), always waiting."""
    q = optimal_action_values(problem("Forest").mdp)
    assert np.allclose(q.max(axis=1), [26.244, 29.484, 33.484], atol=1e-9)
    assert q.argmax(axis=1).tolist() == [0, 0, 0]


def test_garnets_are_the_same_at_every_call():
    mdp = dense(problem("Garnet-7-3-2").mdp)
    assert (mdp.num_states, mdp.num_actions) == (7, 3)
    assert np.all((mdp.transition > 0).sum(axis=-1) == 2)
    again = dense(problem("Garnet-7-3-2").mdp)
    assert np.array_equal(mdp.transition, again.transition)
    assert np.array_equal(optimal_values(mdp), optimal_values(again))
