import struct
import sys

import pytest
from tensorboardX.proto import event_pb2

from rewardtogo.runs.tensorboard import TensorBoardWriter


def row(steps, figures, seed=0):
    return {"seed": seed, "iteration": steps // 10, "time/total_timesteps": steps, **figures}


def points(folder):
    """(tag, step, value) of every scalar, read by the TFRecord framing: length, data, checksums."""
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])  # pyright: ignore
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            content = content[16 + length :]
    return found


def test_every_seed_has_its_folder_and_every_figure_its_point(tmp_path):
    with TensorBoardWriter(tmp_path) as writer:
        writer.write([row(10, {"train/loss": 0.5}), row(10, {"eval/mean_reward": 2}, seed=3)])
        writer.write([row(20, {"train/loss": 0.25, "time/fps": float("nan")})])
    assert {path.name for path in tmp_path.iterdir()} == {"seed_0", "seed_3"}
    assert points(tmp_path / "seed_0") == [("train/loss", 10, 0.5), ("train/loss", 20, 0.25)]
    assert points(tmp_path / "seed_3") == [("eval/mean_reward", 10, 2)]


def test_a_resumed_run_has_no_point_twice(tmp_path):
    rows = [row(steps, {"loss": steps}) for steps in (10, 20, 30)]
    with TensorBoardWriter(tmp_path) as writer:
        writer.write(rows)
    (file,) = (tmp_path / "seed_0").iterdir()
    file.rename(file.with_name("events.out.tfevents.1.earlier"))  # the name counts in seconds
    with TensorBoardWriter(tmp_path, earlier_rows=rows[:1]) as writer:
        writer.write(rows[1:])
    assert points(tmp_path / "seed_0") == [("loss", steps, steps) for steps in (10, 20, 30)]


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "rewardtogo\[tensorboard\]"'):
        TensorBoardWriter(tmp_path)
