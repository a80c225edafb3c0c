"""What `tools/same_bits` sees and what it lets pass, on runs that are made up."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file


sys.path.insert(0, str(Path(__file__).parents[1]))
from tools import same_bits


def made(folder: Path, *, loss=0.5, weight=1.0, name="a/w", more=()):
    for kind in ("policy", "checkpoints"):
        place = folder / "run" / kind / "step_000000000001"
        place.mkdir(parents=True)
        save_file({name: np.full((2, 3), weight, np.float32)}, place / "arrays.safetensors")
    row = {"seed": 0, "iteration": 1, "train/loss": loss, "time/fps": float(weight)}
    row |= dict.fromkeys(more, 1.0)
    (folder / "run" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "run" / "evaluation.json").write_text('{"iqm": 3.0}')
    (folder / "said.json").write_text('{"status": [0], "text": ""}')
    return folder


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"name": "b/renamed"}, []),  # names of leaves may change
        ({"more": ("train/new",)}, []),  # and figures may be added
        ({"loss": 0.5000001}, ["rows of metrics"]),
        ({"weight": np.nextafter(np.float32(1), np.float32(2))}, ["policy", "checkpoints"]),
    ],
)
def test_a_difference_is_named(change, found, tmp_path):
    before, after = made(tmp_path / "a"), made(tmp_path / "b", **change)
    said = same_bits._differences(before, after, None)
    assert len(said) == len(found)
    assert all(word in line for word, line in zip(found, said, strict=True))


def test_a_figure_that_vanished_is_a_difference(tmp_path):
    before, after = made(tmp_path / "a", more=("train/kl",)), made(tmp_path / "b")
    assert same_bits._differences(before, after, None) == ["rows of metrics"]


@pytest.mark.parametrize(("tolerance", "count"), [(1e-6, 0), (1e-9, 1)])
def test_a_tolerance_is_a_share(tolerance, count, tmp_path):
    before, after = made(tmp_path / "a"), made(tmp_path / "b", loss=0.5000001)
    assert len(same_bits._differences(before, after, tolerance)) == count


def test_a_case_that_fails_is_no_sameness(tmp_path):
    before, after = made(tmp_path / "a"), made(tmp_path / "b")
    for folder in (before, after):
        (folder / "said.json").write_text('{"status": [2], "text": "no such flag"}')
    assert "no such flag" in same_bits._differences(before, after, None)[0]
