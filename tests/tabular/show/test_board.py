import numpy as np

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.show.board import text
from rewardtogo.tabular.show.picture import draw
from rewardtogo.tabular.solvers.solve import solve


def test_a_board_shows_values_and_every_best_arrow():
    named = problem("CliffWalking-v1")
    values = np.arange(48.0)
    best = np.zeros((48, 4), bool)
    best[:, 0] = best[0, 1] = True
    lines = text(named, values, best).splitlines()
    assert len(lines) == 8
    assert lines[0].split()[:3] == ["0.0000", "1.0000", "2.0000"]
    assert lines[1].split()[:2] == ["↑→", "↑"]
    assert lines[7].split()[-1] == "■"


def test_other_problems_are_tables_cut_short():
    named = problem("Taxi-v4")
    best = np.ones((named.mdp.num_states, 6), bool)
    lines = text(named, np.zeros(named.mdp.num_states), best).splitlines()
    assert lines[0].split() == ["state", "value", "action"]
    # Against a wall, and with nobody aboard, several actions do the same: the first stands for all.
    assert "south or north or east or pick up or drop off" in lines[1]
    assert "states more" in lines[-1]


def test_pictures_of_grids_and_of_others(tmp_path):
    for name in ("Gridworld-5x5", "Forest"):
        named = problem(name)
        found = solve(named.mdp)
        best = np.eye(named.mdp.num_actions, dtype=bool)[found.policy]
        path = draw(named, np.asarray(found.values), best, tmp_path / f"{name}.svg", title=name)
        assert name in path.read_text()
