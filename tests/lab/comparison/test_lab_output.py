"""The table, what JSON holds, and the picture."""

import json
import sys

import numpy as np
import pytest

from lab.enumerated import compared
from rewardtogo.lab.comparison.figure import draw, figure
from rewardtogo.lab.comparison.table import by_error, table, to_json


def test_the_table_is_sorted_and_says_what_is_exact():
    lines = table(compared(), title="Three", explain=True).splitlines()
    assert lines[0] == "Three: 3 states, 2 actions, discount 0.9, horizon 3"
    start = next(i for i, line in enumerate(lines) if line.startswith("estimator"))
    cells = [line.split() for line in lines[start + 1 : start + 1 + len(compared().rows)]]
    assert [row[0] for row in cells] == [row.estimator.name for row in by_error(compared())]
    by_name = {row[0]: row for row in cells}
    assert by_name["causal"][1] == "0"
    assert by_name["causal"][-1] == "–" and by_name["gae-learned"][-1] == "V̂"
    assert by_name["no-ratio"][1] == f"{_bias('no-ratio'):.3g}"
    # An estimated bias has an interval, and so a column more.
    assert len(by_name["clipped-advantage"]) + 1 - 2 == len(by_name["self-normalised-ratio"]) - 1
    assert any("Schulman et al. (2016), eq. 16" in line for line in lines)
    assert all(len(line) <= 100 for line in lines[: start + 1 + len(cells)])


def _bias(name):
    return next(row.bias for row in compared().rows if row.estimator.name == name)


def test_json_has_every_number():
    content = json.loads(json.dumps(to_json(compared(), name="Three"), allow_nan=False))
    assert (content["problem"], content["horizon"], content["batch"]) == ("Three", 3, 2)
    rows = {row["name"]: row for row in content["estimators"]}
    assert len(rows) == len(compared().rows)
    errors = [row["mean_squared_error"] for row in content["estimators"]]
    assert errors == sorted(errors)
    sampled = [name for name, row in rows.items() if not row["bias_is_exact"]]
    assert set(sampled) == {
        "self-normalised-ratio",
        "clipped-gae",
        "optimal-leave-one-out",
        "optimal-same-batch",
    }
    assert all(rows[name]["bias_error"] > 0 for name in sampled)
    assert all(rows[name]["deviation"] is None for name in sampled)
    assert rows["no-ratio"]["off_policy"] and not rows["gae"]["off_policy"]


def test_the_picture_marks_variance_and_bias():
    axes = figure(compared(), title="Three").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[::-1][0].split()[0] == by_error(compared())[0].estimator.name
    drawn = next(line for line in axes.lines if line.get_marker() == "o")
    assert np.allclose(
        np.asarray(drawn.get_xdata()), [row.variance for row in by_error(compared())[::-1]]
    )
    marks = np.asarray(axes.collections[-1].get_offsets())
    assert {float(y) for _, y in marks}.isdisjoint({names.index("causal"), names.index("gae")})
    assert np.isclose(marks[:, 0].max(), max(row.bias**2 for row in compared().rows))


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_picture_is_written(tmp_path, suffix, start):
    path = draw(compared(), tmp_path / "new" / f"lab.{suffix}", title="Three")
    assert path.read_bytes().startswith(start)


def test_what_cannot_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="the suffix must be one of"):
        draw(compared(), tmp_path / "lab.doc", title="Three")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install .rewardtogo\[plot\]"):
        draw(compared(), tmp_path / "lab.png", title="Three")
