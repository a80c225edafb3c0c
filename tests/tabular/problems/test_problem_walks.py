import math

import numpy as np
import pytest
from plain_values import optimal_values

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.mdp import TabularMDP
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense


@pytest.mark.parametrize(("length", "left", "centre"), [(5, 0, 3), (19, -1, 10), (6, -1, 3)])
def test_random_walks_have_values_on_a_line(length, left, centre):
    """Gambler's ruin: the right end is reached from i with probability i/(n+1)."""
    mdp = problem(f"RandomWalk-{length}").mdp
    right_first = np.arange(1, length + 1) / (length + 1)
    values = state_values(mdp, np.full((length + 2, 2), 0.5))
    assert np.allclose(values[1:-1], right_first + left * (1 - right_first), rtol=1e-10, atol=1e-12)
    assert np.flatnonzero(mdp.initial).tolist() == [centre]


def test_the_walk_with_jumps_by_a_linear_system():
    """Example 9.1: uniform over the neighbours within a jump, the ends taking what is beyond."""
    n, jump = 30, 7
    found = problem(f"RandomWalk-{n}-{jump}")
    chain, reward = np.zeros((n, n)), np.zeros(n)
    for state in range(n):
        for far in range(1, jump + 1):
            for to in (state - far, state + far):
                if 0 <= to < n:
                    chain[state, to] += 1 / (2 * jump)
                else:
                    reward[state] += np.sign(to) / (2 * jump)
    values = state_values(found.mdp, np.full((n + 2, 2), 0.5))[1:-1]
    assert np.allclose(values, np.linalg.solve(np.eye(n) - chain, reward), rtol=1e-10)
    assert np.allclose(values, -values[::-1]) and "9.1" in found.source
    assert np.flatnonzero(problem("RandomWalk-1000-100").mdp.initial).tolist() == [500]


def test_random_walk_of_five_is_named_as_in_the_book():
    found = problem("RandomWalk-5")
    assert found.states == ("left end", "A", "B", "C", "D", "E", "right end")
    assert "6.2" in found.source and "7.1" in problem("RandomWalk-19").source


def test_a_random_walk_needs_three_states():
    with pytest.raises(ValueError, match="at least 3 states between its ends; got 2"):
        problem("RandomWalk-2")
    with pytest.raises(ValueError, match=r"a jump of RandomWalk is of 1 to 6 states.*got 7"):
        problem("RandomWalk-6-7")


@pytest.mark.parametrize("p", [0.05, 0.5, 2 - math.sqrt(2), 0.95])
def test_short_corridor_under_an_aliased_policy(p):
    mdp = problem("ShortCorridor").mdp
    value = state_values(mdp, np.tile([1 - p, p], (4, 1)))[0]
    assert np.isclose(value, (2 * p - 4) / (p * (1 - p)), rtol=1e-10)


def test_short_corridors_best_aliased_policy():
    """Example 13.1: about 0.59 and −11.6; ε-greedy with ε = 0.1 gets −44 and −82."""
    found = problem("ShortCorridor")
    assert found.observation is not None and not found.observation.any()
    worth = lambda p: state_values(found.mdp, np.tile([1 - p, p], (4, 1)))[0]
    best = 2 - math.sqrt(2)
    assert np.isclose(worth(best), -6 - 4 * math.sqrt(2), rtol=1e-10)
    assert worth(best) > max(worth(best - 1e-3), worth(best + 1e-3))
    assert round(worth(0.95)) == -44 and round(worth(0.05)) == -82
    assert np.allclose(optimal_values(found.mdp), [-3, -2, -1, 0], rtol=1e-12)


def test_the_bias_of_the_maximum_is_not_in_the_process():
    """Example 6.7: B costs 0.1 whatever is done there, noisily, and A nothing if one goes right."""
    mdp = problem("MaximisationBias").mdp
    assert np.allclose(optimal_values(mdp), [0, -0.1, 0], rtol=1e-12)
    left = np.eye(10)[np.zeros(3, int)]
    assert np.allclose(state_values(mdp, left), [-0.1, -0.1, 0], rtol=1e-12)
    assert isinstance(mdp, TabularMDP) and mdp.reward_noise is not None
    assert np.array_equal(mdp.reward_noise, np.outer([0, 1, 0], np.ones(10)))


def long_run(mdp, action):
    """The stationary distribution of one action, and what it earns a step."""
    table = dense(mdp)
    share = np.linalg.matrix_power(table.transition[:, action], 4096)[0]
    return share, share @ table.reward[:, action]


def test_river_swim_against_detailed_balance():
    found = problem("RiverSwim")
    weight = np.cumprod([1, 0.3 / 0.1, 3, 3, 3, 0.3 / 0.7])
    weight /= weight.sum()
    share, earned = long_run(found.mdp, found.actions.index("right"))
    assert np.allclose(share, weight, rtol=1e-9)
    assert np.isclose(earned, weight[5] * 0.3 * 10000, rtol=1e-9)
    assert np.isclose(long_run(found.mdp, found.actions.index("left"))[1], 5, rtol=1e-12)
    assert found.mdp.initial.tolist() == [0, 0.5, 0.5, 0, 0, 0]


def test_chain_earns_what_strens_reports():
    """3677 in 1000 steps is the optimum in Dearden et al. (1998) and Strens (2000)."""
    found = problem("Chain")
    _, earned = long_run(found.mdp, found.actions.index("forward"))
    assert round(1000 * earned) == 3677
    table = dense(found.mdp)
    q = table.reward + found.mdp.discount * table.transition @ optimal_values(found.mdp)
    assert np.all(q.argmax(axis=1) == found.actions.index("forward"))
