import numpy as np
import pytest
from plain_values import optimal_values

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense


def test_gridworld_4x4_has_the_values_of_figure_4_1():
    mdp = problem("Gridworld-4x4").mdp
    figure = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    assert np.allclose(state_values(mdp, np.full((16, 4), 0.25)), figure, rtol=1e-10)


def test_gridworld_5x5_has_the_values_of_figures_3_2_and_3_5():
    mdp = problem("Gridworld-5x5").mdp
    equiprobable = [
        [3.3, 8.8, 4.4, 5.3, 1.5],
        [1.5, 3.0, 2.3, 1.9, 0.5],
        [0.1, 0.7, 0.7, 0.4, -0.4],
        [-1.0, -0.4, -0.4, -0.6, -1.2],
        [-1.9, -1.3, -1.2, -1.4, -2.0],
    ]
    optimal = [
        [22.0, 24.4, 22.0, 19.4, 17.5],
        [19.8, 22.0, 19.8, 17.8, 16.0],
        [17.8, 19.8, 17.8, 16.0, 14.4],
        [16.0, 17.8, 16.0, 14.4, 13.0],
        [14.4, 16.0, 14.4, 13.0, 11.7],
    ]
    found = state_values(mdp, np.full((25, 4), 0.25)).reshape(5, 5)
    assert np.allclose(found, equiprobable, atol=0.0501, rtol=0)
    assert np.allclose(optimal_values(mdp).reshape(5, 5), optimal, atol=0.0501, rtol=0)


def test_windy_gridworlds_best_path():
    """The path in the figure of example 6.5 has 15 steps, and none is shorter."""
    found = problem("WindyGridworld")
    table = dense(found.mdp)
    (state,) = np.flatnonzero(found.mdp.initial)
    for word in ["right"] * 9 + ["down"] * 4 + ["left"] * 2:
        assert not found.mdp.terminal[state]
        state = int(np.argmax(table.transition[state, found.actions.index(word)]))
    assert found.mdp.terminal[state] and state == 37
    assert np.isclose(found.mdp.initial @ optimal_values(found.mdp), -15, rtol=1e-12)


def test_the_wind_blows_by_the_column_that_is_left():
    table = dense(problem("WindyGridworld").mdp).transition
    up, right, down, left = range(4)
    assert table[4 * 10 + 6, right, 2 * 10 + 7] == 1
    assert table[4 * 10 + 6, down, 3 * 10 + 6] == 1
    assert table[4 * 10 + 9, left, 4 * 10 + 8] == 1
    assert table[4 * 10 + 3, up, 2 * 10 + 3] == 1
    assert table[0 * 10 + 7, up, 7] == 1


def slippery_by_hand(rows, columns):
    """The table of a slippery grid, a cell at a time."""
    cells = rows * columns
    p, reward = np.zeros((cells, 4, cells)), np.zeros((cells, 4))
    moves = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    sides = {"up": "left right", "right": "up down", "down": "left right", "left": "up down"}
    for s in range(cells - 1):
        for a, word in enumerate(moves):
            for chance, heading in [(0.8, word), *((0.1, side) for side in sides[word].split())]:
                row, column = s // columns + moves[heading][0], s % columns + moves[heading][1]
                inside = 0 <= row < rows and 0 <= column < columns
                to = row * columns + column if inside else s
                p[s, a, to] += chance
                reward[s, a] += chance * (to == cells - 1)
    p[-1, :, -1] = 1
    return p, reward


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 2), (5, 1)])
def test_slippery_grid_is_the_table_written_by_hand(rows, columns):
    found = problem(f"SlipperyGrid-{rows}x{columns}")
    p, reward = slippery_by_hand(rows, columns)
    table = dense(found.mdp)
    assert found.actions == ("up", "right", "down", "left")
    assert np.allclose(table.transition, p, rtol=1e-14)
    assert np.allclose(table.reward, reward, rtol=1e-14)
    # 1 with the chance of entering the goal, else 0: the variance of a coin.
    assert np.allclose(found.mdp.reward_variance(), reward * (1 - reward), atol=1e-7)
    assert np.flatnonzero(found.mdp.initial).tolist() == [0]
    assert np.flatnonzero(found.mdp.terminal).tolist() == [rows * columns - 1]


def test_slippery_grid_of_two_cells_in_closed_form():
    """v = 0.8 + 0.2 γ v: slips to the sides are held by the wall."""
    values = optimal_values(problem("SlipperyGrid-1x2").mdp)
    assert np.allclose(values, [0.8 / (1 - 0.2 * 0.99), 0], rtol=1e-10)


@pytest.mark.parametrize("name", ["SlipperyGrid-1x1", "SlipperyGrid-100000x100000"])
def test_slippery_grids_of_no_size(name):
    with pytest.raises(ValueError, match="SlipperyGrid has 2 to 2147483647 cells; got"):
        problem(name)


@pytest.mark.parametrize(
    ("name", "state"), [("Gridworld-4x4", 5), ("Gridworld-5x5", 12), ("SlipperyGrid-4x5", 7)]
)
def test_arrows_point_to_where_actions_lead(name, state):
    found = problem(name)
    table, grid = dense(found.mdp).transition, found.grid
    assert grid is not None
    words = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    assert [words[action] for action in found.actions] == list(grid.moves)
    for action, (down, right) in enumerate(grid.moves):
        ahead = state + int(down) * grid.shape[1] + int(right)
        assert np.argmax(table[state, action]) == ahead
