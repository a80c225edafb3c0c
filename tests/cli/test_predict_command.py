import json

import numpy as np
import pytest


FEW = ("--step-sizes", 0.3, 0.8, "--seeds", 4, "--episodes", 3)


def test_a_table_and_a_picture(command, tmp_path):
    status, out, err = command(
        "predict", "n-step", "tabular:RandomWalk-19", *FEW, "--n", 1, 4, "--picture", "a.png"
    )
    assert (status, err) == (0, "")
    assert "19 states, exact values from -0.9 to 0.9" in out
    assert "n-step: 4 seeds of 3 episodes, 2 step sizes" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("n = ")]
    assert [row[2] for row in rows] == ["1", "4"] and all(row[3] in ("0.3", "0.8") for row in rows)
    assert "truncated" not in out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_json_holds_every_step_size(command):
    found = json.loads(command("predict", "td0", "RandomWalk-5", *FEW, "--json").out)
    assert np.allclose(found["exact_values"][1:-1], np.arange(1, 6) / 6)
    assert [row["step_size"] for row in found["results"]] == [0.3, 0.8]
    for row in found["results"]:
        assert row["mean_error"] == pytest.approx(np.mean(row["error_by_episode"]), rel=1e-5)
        assert row["interval"][0] <= row["mean_error"] <= row["interval"][1]


@pytest.mark.parametrize(
    ("method", "words", "row"),
    [
        ("mc-first", ("--step-decay", 1, "--step-sizes", 1), "mc-first"),
        ("mc-every", (), "mc-every"),
        ("td-lambda", ("--trace", "replacing", "--trace-decay", 0.5), "replacing, λ = 0.5"),
        ("td-lambda", (), "dutch, λ = 0.9"),
    ],
)
def test_methods(command, method, words, row):
    status, out, _ = command("predict", method, "RandomWalk-5", *FEW, *words)
    assert status == 0 and f"\n{row}  " in out


def test_the_optimal_policy_and_truncation(command):
    """Always right: C, D, E and a reward of 1; two steps are too few."""
    words = ("RandomWalk-5", *FEW, "--policy", "optimal", "--max-steps")
    found = json.loads(command("predict", "mc-first", *words, 3, "--json").out)
    assert found["exact_values"] == pytest.approx([0, 1, 1, 1, 1, 1, 0])
    assert found["truncated"] == 0
    status, out, _ = command("predict", "mc-first", *words, 2)
    assert status == 0 and "optimal policy: 3 states" in out
    assert "100 % of the episodes were truncated, and nothing learned from them." in out


def test_a_policy_from_a_file(command, tmp_path):
    """Always right, as the optimal policy; spread over the states it is another."""
    always = np.tile([0.0, 1.0], (7, 1))
    np.save(tmp_path / "right.npy", always)
    np.savez(tmp_path / "right.npz", policy=always)
    (tmp_path / "right.csv").write_text("0, 1\n" * 7)
    words = ("predict", "td0", "RandomWalk-5", *FEW, "--json", "--policy")
    expected = json.loads(command(*words, "optimal").out) | {"policy": None}
    for name in ("right.npy", "right.npz", "right.csv"):
        found = json.loads(command(*words, name).out)
        assert found["policy"] == name and found | {"policy": None} == expected
    out = command("predict", "td0", "RandomWalk-5", *FEW, "--policy", "right.csv").out
    assert "discount 1, policy of right.csv: 3 states" in out


def test_a_policy_that_is_none(command, tmp_path):
    rows = np.full((7, 2), 0.5)
    rows[3] = 0.5, 0.4
    np.savetxt(tmp_path / "a.csv", rows, delimiter=",")
    status, out, err = command("predict", "td0", "RandomWalk-5", "--policy", "a.csv")
    assert (status, out) == (2, "")
    assert err == "rtg predict: a.csv: `policy` at state 3 sums to 0.9; it must sum to 1.\n"


@pytest.mark.parametrize(
    ("decay", "said"),
    [
        (1, "the step sizes meet the conditions of Robbins and Monro\n"),
        (0.6, "the step sizes meet the conditions of Robbins and Monro\n"),
        (
            0.5,
            "do not meet the conditions of Robbins and Monro, so that V does not settle: the sum",
        ),
        (0, "do not meet the conditions of Robbins and Monro, so that V does not settle: they are"),
    ],
)
def test_whether_values_settle_is_said(command, decay, said):
    assert said in command("predict", "td0", "RandomWalk-5", *FEW, "--step-decay", decay).out


REFUSED = [
    ((), "which method? One of: mc-first"),
    (("td0",), "which problem?"),
    (("td-zero", "RandomWalk-5"), "Unknown method `td-zero`"),
    (("td0", "RandomWalk-x"), "no problem is named 'RandomWalk-x'"),
    (("td0", "RandomWalk-5", "--step-sizes", "0"), "`step_sizes` must lie in (0, 1]; got 0.0"),
    (("td0", "RandomWalk-5", "--step-sizes", "nan"), "`step_sizes` must lie in (0, 1]; got nan"),
    (("td0", "RandomWalk-5", "--step-decay", "1.5"), "`step_decay` must lie in [0, 1]; got 1.5"),
    (("td0", "RandomWalk-5", "--initial-value", "nan"), "`initial_value` must be finite; got nan"),
    (("td0", "RandomWalk-5", "--episodes", "0"), "`episodes` must be a whole number"),
    (("td0", "RandomWalk-5", "--max-steps", "0"), "`max_steps` must be a whole number"),
    (("td0", "RandomWalk-5", "--seed", "-1"), "`seed` must be a whole number"),
    (("td0", "RandomWalk-5", "--policy", "optimum"), "`optimum`. Did you mean `optimal`?"),
    (("td0", "RandomWalk-5", "--policy", "none.npy"), "there is no file none.npy, of which"),
    (("td0", "none.npz"), "No such file or directory: 'none.npz'"),
    (("td0", "RandomWalk-5", "--seeds", "0"), "`seeds` must be a whole number"),
    (("td0", "RandomWalk-5", "--n", "3"), "`n` is for the method n-step"),
    (("td0", "RandomWalk-5", "--trace-decay", "0.3"), "`trace_decay` is for the method td-lambda"),
    (("td-lambda", "RandomWalk-5", "--trace-decay", "1.3"), "`trace_decay` must lie in [0, 1]"),
    (("n-step", "RandomWalk-5", "--n", "0"), "`n` must be a whole number, at least 1"),
    (("td0", "RandomWalk-5", "--discount", "1.5"), "`discount` must lie in [0, 1]; got 1.5"),
    (("td0", "RandomWalk-5", "--picture", "a.docx"), "the suffix must be one of"),
    (("td0", "RandomWalk-5", "--picture", "/dev/null/a.png"), "/dev/null is no folder"),
    (("td0", "RandomWalk-5", "--features", "tiles"), "td0 learns a table"),
    (("td0", "RandomWalk-5", "--groups", "3"), "`groups` is for the features aggregation"),
    (("gradient-mc", "RandomWalk-5"), "gradient-mc needs `features`: aggregation, tiles"),
    (
        ("gradient-mc", "RandomWalk-5", "--features", "network", "--order", "3"),
        "`order` is for the features fourier or polynomial",
    ),
    (
        ("gradient-mc", "RandomWalk-5", "--features", "tiles", "--tiles", "0"),
        "`tiles` must be a whole number, at least 1; got 0",
    ),
    (
        ("gradient-mc", "RandomWalk-5", "--features", "tiles", "--initial-value", "0.5"),
        "`initial_value` is for a table",
    ),
    (("mc-first", "RiverSwim"), "Monte Carlo learns from episodes that end"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input_gets_one_clear_line(command, words, message):
    status, out, err = command("predict", *words)
    assert status == 2 and out == ""
    assert message in err and err.count("\n") == 1


def test_features_of_no_kind(command):
    status, out, err = command("predict", "semi-gradient-td", "RandomWalk-5", "--features", "tils")
    assert (status, out) == (2, "") and "invalid choice 'tils'" in err


WALK = (
    "RandomWalk-19",
    "--step-sizes",
    0.05,
    "--seeds",
    2,
    "--episodes",
    3,
    "--averaging",
    "steps",
)


def test_features_and_a_picture_of_the_values(command, tmp_path):
    words = ("--features", "tiles", "polynomial", "network", "--tilings", 1, 4, "--order", 2)
    status, out, err = command("predict", "semi-gradient-td", *WALK, *words, "--picture", "a.png")
    assert (status, err) == (0, "")
    for row in ("1 tiling ", "4 tilings ", "polynomial, order 2 ", "network 32-32 "):
        assert f"\n{row}" in out
    assert "The error is averaged over steps" in out
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("method", "words", "row"),
    [
        ("gradient-mc", ("--features", "aggregation", "--groups", 3), "3 groups"),
        ("semi-gradient-n-step", ("--features", "fourier", "--n", 1, 2), "n = 2, fourier, order 5"),
    ],
)
def test_approximate_methods(command, method, words, row):
    found = json.loads(command("predict", method, *WALK, *words, "--json").out)
    assert row in [result["name"] for result in found["results"]]
    assert found["averaging"] == "steps"
