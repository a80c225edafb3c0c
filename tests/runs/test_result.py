import base64
import dataclasses

import numpy as np
import pytest

from rewardtogo.files import read_json
from rewardtogo.runs.evaluation import evaluation, evaluation_from_json
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.result import Result, read_result
from rewardtogo.training.evaluators import Measured
from rewardtogo.types import Optimum
from short_runs import (
    compile_cache,  # noqa: F401
    finished_run,
)


RETURNS = np.array([[1.0, 3.0], [5.0, 5.0], [0.0, 4.0], [10.0, 30.0]])


def found():
    lengths = RETURNS.astype(int) + 1
    return evaluation(Measured(RETURNS, {}, lengths), range(7, 11), [64, 64, 64, 96])


def test_the_unit_is_the_seed():
    """Means over episodes are 2, 5, 2, 20; the middle half of the four is 2 and 5."""
    assert found().means == (2.0, 5.0, 2.0, 20.0)
    assert found().iqm.estimate == pytest.approx(3.5)
    assert found().deviations == (1.0, 0.0, 2.0, 10.0)
    assert found().lengths == (3.0, 6.0, 3.0, 21.0)
    assert found().episodes == 2


def test_an_evaluation_reads_back_as_written():
    assert evaluation_from_json(found().to_json()) == found()
    assert "optimum" not in found().to_json()  # nor is there one in what older versions wrote
    one = evaluation(Measured(RETURNS[:1], {}, RETURNS[:1].astype(int)), range(1), [3])
    assert one.to_json()["interval"] is None
    assert evaluation_from_json(one.to_json()) == one


def test_an_optimum_is_kept_and_told(tmp_path):
    known = dataclasses.replace(found(), optimum=Optimum(0.744190, 100, aliased=False))
    assert evaluation_from_json(known.to_json()) == known
    lines = str(Result(tmp_path, "ppo", "tabular:X", known, 640, 2.0)).splitlines()
    assert lines[2] == "  optimum 0.7442 (exact, not discounted, 100 steps)"


def test_the_file_has_the_figure_its_interval_and_every_seed():
    data = found().to_json()
    assert data["iqm"] == pytest.approx(3.5)
    assert data["interval"][0] <= 3.5 <= data["interval"][1]
    assert data["seeds"][3] == {"seed": 10, "mean": 20.0, "std": 10.0, "length": 21.0, "steps": 96}


def result(path):
    return Result(path, "ppo", "CartPole-v1", found(), 640, 2.0)


def test_the_summary_tells_what_was_reached_and_where_it_is(tmp_path):
    (tmp_path / "settings.json").touch()
    (tmp_path / "best").mkdir()
    lines = str(result(tmp_path)).splitlines()
    assert lines[0] == "ppo on CartPole-v1, 4 seeds, 96 steps each"
    assert "interquartile mean  3.5 [" in lines[1] and "95 % bootstrap interval" in lines[1]
    assert "2.0 s, compiling and evaluating included: 320 steps/s" in lines[2]
    assert [line.split()[0] for line in lines[3:]] == ["settings.json", "best"]
    assert str(tmp_path / "settings.json") in lines[3]
    assert repr(result(tmp_path)) == f"Result: {result(tmp_path)}"


def test_a_run_read_again_has_no_speed():
    again = read_result(RunFolder(finished_run()), "ppo", "CartPole-v1")
    assert again.evaluation.to_json() == read_json(finished_run() / "evaluation.json")
    assert "steps/s" not in str(again)


def test_a_notebook_shows_summary_and_curve(tmp_path):
    assert result(tmp_path)._repr_html_() == f"<pre>{result(tmp_path)}</pre>"
    again = read_result(RunFolder(finished_run()), "ppo", "CartPole-v1")
    data = again._repr_html_().split("base64,")[1].split('"')[0]
    assert base64.b64decode(data) == (finished_run() / "curve.png").read_bytes()


def test_a_result_plots_itself():
    again = read_result(RunFolder(finished_run()), "ppo", "CartPole-v1")
    assert len(again.plot().axes) == 1
