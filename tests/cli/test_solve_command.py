import json

import numpy as np
import pytest

from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.problems.catalogue import problem


def test_the_frozen_lake_is_solved_and_drawn(command, tmp_path):
    """To every digit published, with arrows on the board and a picture."""
    status, out, err = command("solve", "FrozenLake-v1", "--picture", "lake.png")
    assert (status, err) == (0, "")
    assert "16 states, 4 actions, discount 0.99" in out
    assert "0.542026" in out and "certified: |V - V*| ≤" in out
    assert out.count("■") == 5
    assert (tmp_path / "lake.png").read_bytes().startswith(b"\x89PNG")


def test_json_holds_what_was_found(command):
    found = json.loads(command("solve", "FrozenLake8x8-v1", "--json").out)
    assert f"{found['expected_return']:.6f}" == "0.414640"
    assert found["converged"] and 0 < found["certificate"]["value_error"] <= 1e-8
    mdp = problem("FrozenLake8x8-v1").mdp
    policy = np.eye(4)[found["policy"]]
    assert np.allclose(state_values(mdp, policy), found["values"], atol=2e-8)


@pytest.mark.parametrize(
    "method", ["value-iteration", "policy-iteration", "modified-policy-iteration", "gauss-seidel"]
)
def test_every_method_walks_the_cliff(command, method):
    status, out, _ = command("solve", "CliffWalking-v1", "--method", method)
    assert status == 0 and "initial states: -13.000000" in out
    assert method in out and "no bound on the error exists at discount 1" in out


def test_a_temperature(command):
    """Soft values are above the hard ones, by no more than τ log|A| / (1 - γ)."""
    words = ("FrozenLake-v1", "--discount", "0.9", "--json")
    hard = json.loads(command("solve", *words).out)
    soft = json.loads(command("solve", *words, "--temperature", "0.01").out)
    gap = soft["expected_return"] - hard["expected_return"]
    assert 0 < gap <= 0.01 * np.log(4) / 0.1
    assert np.allclose(np.sum(soft["policy"], axis=1), 1)


def test_a_horizon(command):
    """On the deterministic cliff 12 actions do not suffice, 13 do."""
    short, long = (
        json.loads(command("solve", "CliffWalking-v1", "--horizon", n, "--json").out)
        for n in (12, 30)
    )
    assert short["expected_return"] == -12 and long["expected_return"] == -13
    assert long["method"] == "backward induction"


REFUSED = [
    (("FrozenLake-v9",), "Did you mean 'FrozenLake-v1'"),
    ((), "which problem?"),
    (("FrozenLake-v1", "--discount", "1.5"), "`discount` must lie in [0, 1]; got 1.5"),
    (("FrozenLake-v1", "--tolerance", "0"), "tolerance"),
    (("FrozenLake-v1", "--tolerance", "1e-30"), "float64 can certify no better than"),
    (("FrozenLake-v1", "--temperature", "-1"), "temperature"),
    (("FrozenLake-v1", "--horizon", "0"), "horizon"),
    (("FrozenLake-v1", "--horizon", "3", "--temperature", "1"), "cannot be given together"),
    (("FrozenLake-v1", "--temperature", "1", "--method", "gauss-seidel"), "not for a temperature"),
    (("FrozenLake-v1", "--horizon", "3", "--method", "gauss-seidel"), "not for a horizon"),
    (("FrozenLake-v1", "--picture", "lake.docx"), "the suffix must be one of"),
    (("Garnet-5-2-2", "--discount", "1"), "no terminal state"),
    (("missing.npz",), "missing.npz"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(command, words, message):
    status, out, err = command("solve", *words)
    assert status in (1, 2) and out == ""
    assert message in err and "Traceback" not in err


def test_a_file_is_solved(command, tmp_path):
    (tmp_path / "own.json").write_text(
        json.dumps(
            {
                "outcomes": [[[[1.0, 1, 2.0, False]]], [[[1.0, 1, 3.0, False]]]],
                "initial": [1.0, 0.0],
                "discount": 0.5,
            }
        )
    )
    found = json.loads(command("solve", "own.json", "--json").out)
    assert found["values"] == pytest.approx([5.0, 6.0])
