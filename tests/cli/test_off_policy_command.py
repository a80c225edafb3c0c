import json

import numpy as np
import pytest


FEW = ("--seeds", 4, "--steps", 200)


def test_divergence_is_said_and_drawn(command, tmp_path):
    words = ("off-policy-td", "tabular:Baird", *FEW, "--step-sizes", 0.01, "--picture", "b.png")
    status, out, err = command("predict", *words)
    assert (status, err) == (0, "")
    assert "expected updates diverge, by exp(0.00239) a step" in out
    assert "4 seeds of 200 steps, and expected updates" in out
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["tdc", "gtd2", "emphatic-td"])
def test_json_holds_every_seed(command, method):
    found = json.loads(command("predict", method, "Baird", *FEW, "--json").out)
    (row,) = found["results"]
    assert row["growth_rate"] < 1e-9 and found["steps"][-1] == 200
    assert np.shape(row["sampled"]["value_error"]) == (4, 101)
    assert np.shape(row["expected"]["projected_error"]) == (1, 101)
    assert np.shape(row["sampled"]["weights"]) == (4, 8)
    assert row["expected"]["value_error"][0][0] == pytest.approx(np.sqrt(198 / 7))


def test_any_problem_with_a_feature_a_state(command):
    status, out, _ = command("predict", "tdc", "Chain", *FEW, "--auxiliary-step-size", 0.1)
    assert status == 0 and "expected updates converge, in the end by exp(-" in out


REFUSED = [
    (("tdc",), "which problem?"),
    (("tdc", "RandomWalk-x"), "no problem is named 'RandomWalk-x'"),
    (("tdc", "Baird", "--step-sizes", 0), "`step_sizes` must lie in (0, inf); got 0.0"),
    (("off-policy-td", "Baird", "--auxiliary-step-size", 1), "is for the method gtd2 or tdc"),
    (("gtd2", "Baird", "--auxiliary-step-size", -1), "`auxiliary_step_size` must lie in"),
    (("tdc", "Baird", "--seeds", 0), "`seeds`"),
    (("tdc", "Baird", "--steps", 0), "`steps`"),
    (("tdc", "Baird", "--picture", "a.docx"), "the suffix must be one of"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(command, words, message):
    status, out, err = command("predict", *words)
    assert status == 2 and out == ""
    assert message in err and "Traceback" not in err
