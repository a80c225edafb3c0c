import json

import numpy as np
import pytest


CAR = ("MountainCar-v0", "--features", "tiles", "--seeds", 2, "--episodes", 20)


def test_a_table_and_a_picture(command, tmp_path):
    words = (*CAR, "--epsilon", 0, "--step-sizes", 0.2, 0.5, "--picture", "car.png")
    status, out, err = command("control", "sarsa", *words)
    assert (status, err) == (0, "")
    assert "2 seeds of 20 episodes, 631 features an action" in out
    rows = [line for line in out.splitlines() if "–" in line]
    assert len(rows) == 10 and rows[-1].split()[0] == "19–20"
    assert "truncated, of all episodes" in out
    assert (tmp_path / "car.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["q-learning", "expected-sarsa"])
def test_json_holds_every_episode(command, method):
    found = json.loads(command("control", method, *CAR, "--max-steps", 30, "--json").out)
    (row,) = found["results"]
    assert np.all(np.array(row["lengths"]) == 30) and np.shape(row["lengths"]) == (2, 20)
    assert np.all(np.array(row["returns"]) == -30) and np.all(row["truncated"])


@pytest.mark.parametrize("words", [("fourier", "--order", 2), ("polynomial",)])
def test_other_features(command, words):
    status, out, _ = command(
        "control", "sarsa", "MountainCar-v0", "--features", *words, "--seeds", 1, "--episodes", 2
    )
    assert status == 0 and f"{9 if '--order' in words else 16} features" in out


REFUSED = [
    (("sarsa", "MountainCar-v0"), "no finite MDP: give `--features`"),
    (("--features", "tiles"), "name a method and an environment"),
    (("double-q-learning", *CAR), "DoubleQLearning keeps a table of states"),
    (("sarsa", "Pendulum-v1", "--features", "tiles"), "need actions numbered from 0"),
    (("sarsa", "CartPole-v1", "--features", "tiles"), "has no bounds to lay features over"),
    (("sarsa", "LunarLander-v3", "--features", "tiles"), "no JAX environment is named"),
    (("sarsa", *CAR, "--order", 3), "`order` is for the features fourier or polynomial"),
    (("sarsa", *CAR, "--temperature", 1), "`temperature` is for boltzmann"),
    (("sarsa", *CAR, "--tiles", 0), "`tiles`"),
    (("sarsa", *CAR, "--picture", "a.docx"), "the suffix must be one of"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(command, words, message):
    status, out, err = command("control", *words)
    assert status == 2 and out == ""
    assert message in err and "Traceback" not in err
