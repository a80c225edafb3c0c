import numpy as np
import pytest

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.solvers.ordering import blocks, distances
from rewardtogo.tabular.successors import SuccessorMDP


def lists(name):
    mdp = problem(name).mdp
    assert isinstance(mdp, SuccessorMDP)
    return mdp


@pytest.mark.parametrize("name", ["SlipperyGrid-7x9", "RandomWalk-19"])
def test_every_state_has_its_place(name):
    """The layout holds each state's lists, and its successors' places, once or repeated."""
    mdp = lists(name)
    layout = blocks(mdp)
    width = layout.reward.shape[2]
    assert np.array_equal(layout.state_at[layout.place_of], np.arange(mdp.num_states))
    for place, state in enumerate(layout.state_at):
        block, entry = divmod(place, width)
        successor = layout.state_at[layout.successor[block, :, :, entry]]
        assert np.array_equal(successor, mdp.successor[:, :, state])
        assert np.array_equal(layout.probability[block, :, :, entry], mdp.probability[:, :, state])
        assert np.array_equal(layout.reward[block, :, entry], mdp.reward[state])


@pytest.mark.parametrize("name", ["SlipperyGrid-7x9", "FrozenLake-v1"])
def test_no_block_crosses_a_border_between_distances(name):
    mdp = lists(name)
    layout = blocks(mdp)
    level = distances(mdp)[layout.state_at].reshape(-1, layout.reward.shape[2])
    assert np.array_equal(level.min(axis=1), level.max(axis=1))
    assert np.all(np.diff(level[:, 0]) >= 0)


def test_distances_of_a_grid():
    """Steps to the two states beside the goal, where entering it pays .8 at best."""
    level = distances(lists("SlipperyGrid-4x5")).reshape(4, 5)
    rows, columns = np.indices((4, 5))
    expected = (3 - rows) + (4 - columns) - 1
    expected[3, 4] = level[3, 4]  # no state comes after the goal
    assert np.array_equal(level, expected)
