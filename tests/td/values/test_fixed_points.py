"""Where learning ends, against textbook closed forms and other ways to compute it."""

import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.exact.occupancy import occupancy
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.td.values.fixed_points import (
    monte_carlo_projection,
    on_policy_distribution,
    td_fixed_point,
)


def even(mdp):
    return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)


def test_the_distribution_of_episodes():
    """The five-state walk: from the centre, 1, 2, 3, 2, 1 steps in the mean, of 9."""
    walk = problem("RandomWalk-5").mdp
    share = on_policy_distribution(walk, even(walk))
    assert np.allclose(share * 9, [0, 1, 2, 3, 2, 1, 0])
    steps = np.where(walk.terminal, 0, occupancy(walk, even(walk)))
    assert np.allclose(share, steps / steps.sum())


def test_the_distribution_is_not_discounted():
    """Two states in a row, each once an episode, whatever γ."""
    transition = np.zeros((3, 1, 3))
    transition[0, 0, 1] = transition[1, 0, 2] = transition[2, 0, 2] = 1
    mdp = tabular_mdp(
        transition, np.ones((3, 1)), [1.0, 0, 0], discount=0.3, terminal=[False, False, True]
    )
    assert np.allclose(on_policy_distribution(mdp, even(mdp)), [0.5, 0.5, 0])


def test_the_distribution_without_an_end():
    """The stationary one; a state that is left for ever has none."""
    chain = np.array([[0.0, 0.5, 0.5], [0, 0.9, 0.1], [0, 0.3, 0.7]])
    mdp = tabular_mdp(chain[:, None], np.ones((3, 1)), [1.0, 0, 0], discount=0.9)
    share = on_policy_distribution(mdp, even(mdp))
    assert np.allclose(share, [0, 0.75, 0.25])
    assert np.allclose(share @ chain, share)


def test_with_a_feature_for_each_state_both_are_exact(x64):
    mdp = garnet(num_states=6, num_actions=2, discount=0.9, key=jr.key(0))
    exact = state_values(mdp, even(mdp))
    for find in (td_fixed_point, monte_carlo_projection):
        assert np.allclose(find(mdp, even(mdp), np.eye(6)), exact, rtol=1e-10)


def test_two_groups_of_a_walk_by_hand():
    """States 1-2 and 3-4 of a walk of four as groups: V = −3/5, −1/5, 1/5, 3/5."""
    walk = problem("RandomWalk-4").mdp
    groups = np.zeros((6, 2))
    groups[[0, 1, 2], 0] = groups[[3, 4, 5], 1] = 1
    # From state 2, μ is proportional to (3, 6, 4, 2): twice the steps of the absorbing walk.
    mean = [(3 * -0.6 + 6 * -0.2) / 9, (4 * 0.2 + 2 * 0.6) / 6]
    assert np.allclose(monte_carlo_projection(walk, even(walk), groups), mean)
    # 9 steps in group 1: 3/2 end at −1, 3 lead to group 2; 6 in group 2: 2 lead back, 1 ends at 1.
    a = np.array([[9 - 4.5, -3.0], [-2.0, 6 - 3.0]])
    assert np.allclose(td_fixed_point(walk, even(walk), groups), np.linalg.solve(a, [-1.5, 1.0]))


def test_td_fixed_point_is_where_the_mean_update_vanishes(x64):
    """E[δ x] = 0, summed over every state, action and outcome; dependent features too."""
    mdp = garnet(num_states=7, num_actions=3, num_terminal=1, discount=0.8, key=jr.key(1))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3))
    x = np.c_[x, x[:, :1] + x[:, 1:2]]
    w = td_fixed_point(mdp, even(mdp), x)
    values = np.where(mdp.terminal, 0, x @ w)
    share, mean = on_policy_distribution(mdp, even(mdp)), np.zeros(4)
    for s, a, to in np.ndindex(7, 3, 7):
        error = mdp.reward[s, a] + 0.8 * values[to] - values[s]
        mean += share[s] / 3 * float(mdp.transition[s, a, to]) * error * x[s]
    assert np.allclose(mean, 0, atol=1e-12)
    # The shortest of all solutions: nothing along what no feature sees.
    assert np.isclose(w @ [1, 1, 0, -1], 0, atol=1e-10)


def test_bad_input():
    walk = problem("RandomWalk-5").mdp
    with pytest.raises(ValueError, match=r"features of the wrong width.*each of 7 states"):
        td_fixed_point(walk, even(walk), np.eye(5))
    with pytest.raises(ValueError, match=r"`policy` at \[0\] is no distribution"):
        monte_carlo_projection(walk, even(walk) * 0.9, np.eye(7))
    # State 0 leads to either of two states that are never left.
    chain = np.array([[0.0, 0.5, 0.5], [0, 1, 0], [0, 0, 1]])
    mdp = tabular_mdp(chain[:, None], np.ones((3, 1)), [1.0, 0, 0], discount=0.9)
    with pytest.raises(ValueError, match="stay in one of 2 parts"):
        on_policy_distribution(mdp, even(mdp))
