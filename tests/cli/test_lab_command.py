import json
import re
import sys

import pytest

from lab.toys import TOYS


SMALL = ["Chain", "--horizon", 4, "--trajectories", 400, "--batch", 4]
FEW = ["--estimators", "causal", "clipped-gae", "leave-one-out"]


@pytest.fixture
def nothing_is_sampled(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("something was sampled")

    monkeypatch.setattr("rewardtogo.lab.comparison.run.compare", fail)
    monkeypatch.setattr("rewardtogo.lab.theorems.run.run_theorems", fail)


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr("rewardtogo.lab.theorems.THEOREMS", TOYS, raising=False)


def test_a_table_and_a_picture(command, tmp_path):
    status, out, _ = command("lab", *SMALL, *FEW, "--picture", "lab.png")
    assert status == 0
    assert out.startswith("Chain: ") and "horizon 4" in out.splitlines()[0]
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert {"causal", "clipped-gae", "leave-one-out"} <= set(names)
    assert "step-ratio-advantage" not in names  # the control is run, and not shown
    assert out.endswith("\nlab.png\n")
    assert (tmp_path / "lab.png").read_bytes().startswith(b"\x89PNG")


def test_json_and_nothing_else(command):
    words = [*SMALL, "--estimators", "causal", "--json", "--discount", 0.5]
    status, out, err = command("lab", *words)
    assert (status, err) == (0, "")
    content = json.loads(out)
    assert (content["problem"], content["discount"], content["batch"]) == ("Chain", 0.5, 4)
    assert [row["name"] for row in content["estimators"]] == ["causal"]


def test_theorems(command, toys):
    status, out, _ = command("lab", "--theorems", "--cases", 12)
    assert status == 1
    assert "ok      squares" in out and "FAILED  signs" in out
    status, out, err = command("lab", "--theorems", "--only", "squares", "--json")
    assert (status, err) == (0, "")
    assert [theorem["name"] for theorem in json.loads(out)["theorems"]] == ["squares"]


BAD = {
    "nothing": ([], "which problem\\? One of .*Chain"),
    "problem": (["Chian"], "Did you mean 'Chain'"),
    "discount": (["Chain", "--discount", 1.5], r"`discount` must lie in \[0, 1\]; got 1.5"),
    "horizon": (["Chain", "--horizon", 0], "`horizon`.*got 0"),
    "batch": (["Chain", "--batch", 1], "`batch`.*at least 2; got 1"),
    "trajectories": (["Chain", "--trajectories", 19], "2 × 10; got 19"),
    "estimator": (["Chain", "--estimators", "gea"], "Unknown estimator `gea`. Did you mean `gae`"),
    "policy scale": (["Chain", "--policy-scale", -1], "`policy_scale`.*got -1.0"),
    "behaviour scale": (["Chain", "--behaviour-scale", -1], "`behaviour_scale`.*got -1.0"),
    "seed": (["Chain", "--seed", -1], "`seed`.*got -1"),
    "picture": (["Chain", "--picture", "lab.doc"], "the suffix must be one of"),
    "only": (["Chain", "--only", "squares"], "`only` names theorems"),
    "both": (["Chain", "--theorems"], "their own cases; got the problem 'Chain'"),
    "cases": (["--theorems", "--cases", 0], "`cases`.*got 0"),
    "theorem": (["--theorems", "--only", "sqares"], "Did you mean `squares`"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_at_once(name, command, toys, nothing_is_sampled):
    words, said = BAD[name]
    status, out, err = command("lab", *words)
    assert (status, out) == (2, "")
    assert re.search(said, err), err
    assert "Traceback" not in err


def test_a_picture_needs_matplotlib(command, monkeypatch, nothing_is_sampled):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = command("lab", "Chain", "--picture", "lab.png")
    assert status == 1 and 'pip install "rewardtogo[plot]"' in err
