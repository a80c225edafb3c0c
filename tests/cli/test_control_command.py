import json

import numpy as np
import pytest

from rewardtogo.td.control.methods import METHODS


LONGER = ("--steps", 4000, "--seeds", 2)
SHORT = ("--steps", 2000, "--seeds", 2)


def test_the_lake_is_learned_and_drawn(command, tmp_path):
    words = ("q-learning", "tabular:FrozenLake-v1", "--steps", 400_000, "--seeds", 4)
    status, out, err = command("control", *words, "--picture", "lake.png")
    assert (status, err) == (0, "")
    assert "4 seeds of 400,000 steps" in out and "the step sizes meet the conditions" in out
    assert "exact optimum 0.542026: 4 of 4 greedy policies within 1 %" in out
    assert out.count("■") == 5
    assert (tmp_path / "lake.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", METHODS)
def test_json_holds_every_number(command, method):
    found = json.loads(command("control", method, "Taxi-v4", *SHORT, "--json").out)
    assert round(found["optimum"], 2) == 7.93 and found["steps"][-1] == 2000
    for name in ("error", "value", "returns", "episodes", "regret"):
        assert np.shape(found[name]) == (2, 100)
    assert np.shape(found["action_values"]) == (2, 501, 6)
    assert None in found["returns"][0]  # at first no episode ends within twenty steps


def test_options_reach_the_method(command):
    words = ("sarsa", "Chain", *SHORT, "--exploration", "boltzmann", "--temperature", 2)
    status, out, _ = command("control", *words, "--step-size", 0.1, "--initial-value", 5)
    assert status == 0 and "do not meet" in out
    assert "discount 0.5" in command("control", "sarsa", "Chain", *SHORT, "--discount", 0.5).out


def test_a_maze_that_changes(command, tmp_path):
    words = ("dyna-q+", "tabular:ShortcutMaze", "--steps", 4000, "--seeds", 2, "--bonus", 0.01)
    words += ("--planning-steps", 5, "--model", "frequencies", "--picture", "maze.png")
    status, out, err = command("control", *words)
    assert (status, err) == (0, "")
    assert "after 3,000 steps the problem becomes ShortcutMaze-after" in out
    assert "exact optimum 0.630249" in out  # of the end
    assert (tmp_path / "maze.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(command("control", "q-learning", "ShortcutMaze", *LONGER, "--json").out)
    assert found["changes"] == [[3000, "ShortcutMaze-after"]]
    assert np.round(found["optima"], 3).tolist() == [0.463] * 75 + [0.63] * 25
    assert np.shape(found["reward"]) == (2, 100)


def test_certainty_equivalence_has_no_step_size(command):
    status, out, _ = command("control", "certainty-equivalence", "Chain", *SHORT)
    assert status == 0 and "step sizes" not in out and "exact optimum" in out


REFUSED = [
    ((), "name a method and a problem"),
    (("q-learning",), "name a method and a problem"),
    (("q-lerning", "Chain"), "Unknown method `q-lerning`. Did you mean `q-learning`?"),
    (("sarsa", "FrozenLake-v9"), "Did you mean 'FrozenLake-v1'"),
    (("sarsa", "Chain", "--step-size", 0), "`step_size` must lie in (0, 1]; got 0.0"),
    (("sarsa", "Chain", "--exponent", 0.5), "`exponent` must lie in (0.5, 1]; got 0.5: else"),
    (("sarsa", "Chain", "--exponent", "nan"), "`exponent` must lie in (0.5, 1]; got nan"),
    (("sarsa", "Chain", "--step-size", "nan"), "`step_size` must lie in (0, 1]; got nan"),
    (("sarsa", "Chain", "--epsilon", "nan"), "`epsilon` must lie in [0, 1]; got nan"),
    (("sarsa", "none.npz"), "No such file or directory: 'none.npz'"),
    (("sarsa", "Chain", "--exponent", 1, "--step-size", 1), "cannot be given together"),
    (("sarsa", "Chain", "--epsilon", 1.5), "`epsilon` must lie in [0, 1]; got 1.5"),
    (("sarsa", "Chain", "--temperature", 1), "`temperature` is for boltzmann exploration"),
    (
        ("sarsa", "Chain", "--exploration", "boltzmann", "--temperature", 0),
        "`temperature` must lie in (0, inf); got 0.0",
    ),
    (
        ("sarsa", "Chain", "--exploration", "boltzmann", "--epsilon", 0.1),
        "`epsilon` is for epsilon-greedy exploration",
    ),
    (("sarsa", "Chain", "--bonus", 1), "`bonus` is for dyna-q+, not for sarsa; got 1.0"),
    (("sarsa", "Chain", "--model", "frequencies"), "`model` is for dyna-q, dyna-q+, not for"),
    (("dyna-q", "Chain", "--plan-every", 5), "is for certainty-equivalence, not for dyna-q; got 5"),
    (("certainty-equivalence", "Chain", "--exponent", 1), "`exponent` is for q-learning, double"),
    (("certainty-equivalence", "Chain", "--plan-every", 0), "`plan_every` must be a whole number"),
    (("q-learning", "Chain", "--min-visits", 5), "is for certainty-equivalence, not for q-l"),
    (("dyna-q", "Chain", "--planning-steps", -1), "`planning_steps` must be a whole number"),
    (("dyna-q+", "Chain", "--bonus", -1), "`bonus` must lie in [0, inf); got -1.0"),
    (("dyna-q", "BlockingMaze", "--steps", 900), "`steps` is 900, and the problem changes after"),
    (("sarsa", "Chain", "--steps", 0), "`steps`"),
    (("sarsa", "Chain", "--seeds", 0), "`seeds`"),
    (("sarsa", "Chain", "--seed", -1), "`seed`"),
    (("sarsa", "Chain", "--discount", 1.5), "`discount` must lie in [0, 1]; got 1.5"),
    (("sarsa", "Chain", "--initial-value", "nan"), "`initial_value`"),
    (("sarsa", "Chain", "--picture", "a.docx"), "the suffix must be one of"),
    (("sarsa", "Chain", "--picture", "/dev/null/a.png"), "/dev/null is no folder"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(command, words, message):
    status, out, err = command("control", *words)
    assert status == 2 and out == ""
    assert message in err and err.count("\n") == 1
