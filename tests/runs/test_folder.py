import datetime
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo import files
from rewardtogo.files import write_json
from rewardtogo.runs import versions as run_versions
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.metrics import MetricsWriter, read_rows, truncate_after


def row(iteration, seed=0, **more):
    return {"seed": seed, "iteration": iteration, "time/total_timesteps": 10 * iteration, **more}


def test_a_new_folder_is_made_and_opened_once_it_has_settings(tmp_path):
    folder = RunFolder.create(tmp_path / "a" / "b")
    with pytest.raises(ValueError, match=r"holds no settings\.json"):
        RunFolder.open_(folder.path)
    write_json(folder.settings, {})
    assert RunFolder.open_(folder.path) == folder
    with pytest.raises(ValueError, match="already holds a run"):
        RunFolder.create(folder.path)
    with pytest.raises(ValueError, match="there is no run folder at"):
        RunFolder.open_(tmp_path / "c")


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"not empty \(it holds thesis\.tex\)"):
        RunFolder.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(ValueError, match=f"{path} cannot be written"):
            RunFolder.create(path)
    with pytest.raises(ValueError, match="cannot be made"):
        RunFolder.create_named("ppo", "X", root=tmp_path / "file")

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(ValueError, match="cannot be written: Permission denied"):
        RunFolder.create(tmp_path / "run")


def test_names_are_made_of_what_runs_and_when_and_are_unique(tmp_path):
    now = datetime.datetime(2025, 3, 4, 5, 6, 7)
    make = lambda: RunFolder.create_named("ppo", "pkg.mod:ALE/Pong-v5", root=tmp_path, now=now)
    names = [make().path.name for _ in range(3)]
    first = "ppo-pkg.mod-ALE-Pong-v5-20250304-050607"
    assert names == [first, f"{first}-2", f"{first}-3"]


HOLD = """
import sys, time
from pathlib import Path
from rewardtogo.runs.folder import RunFolder
lock = RunFolder(Path(sys.argv[1])).lock()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        for _ in range(2):
            with pytest.raises(
                ValueError, match=f"{folder.path} is in use by process {holder.pid}"
            ):
                folder.lock()
        (folder.path / ".unfinished-settings.json-1").touch()
        holder.send_signal(signal.SIGKILL)
    with folder.lock():
        assert [path.name for path in folder.path.iterdir()] == ["lock"]
        with pytest.raises(ValueError, match=f"process {os.getpid()}"):
            folder.lock()
    assert RunFolder.create(folder.path) == folder, "a lock alone does not occupy a folder"
    folder.lock().release()


@dataclass
class Settings:
    rate: float
    shape: tuple[int, ...]
    where: Path


def test_json_holds_plain_data_whatever_the_types(tmp_path):
    data = {
        "settings": Settings(0.1, (1, 2), Path("a")),
        "numpy": [np.float32(0.5), np.arange(2), np.bool_(True)],
        "jax": {1: jnp.ones((1, 2)), "none": None},
    }
    write_json(tmp_path / "x.json", data)
    assert files.read_json(tmp_path / "x.json") == {
        "settings": {"rate": 0.1, "shape": [1, 2], "where": "a"},
        "numpy": [0.5, [0, 1], True],
        "jax": {"1": [[1, 1]], "none": None},
    }


@pytest.mark.parametrize("bad", [float("nan"), np.inf, jnp.array([1, -jnp.inf]), object()])
def test_json_refuses_what_is_not_finite_and_keeps_the_old_file(bad, tmp_path):
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(ValueError, match=r"x\.json/a/1(/1)? is"):
        write_json(tmp_path / "x.json", {"a": [0, bad]})
    assert files.read_json(tmp_path / "x.json") == 1


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_json(tmp_path / "x.json", 1)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "x.json", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert files.read_json(tmp_path / "x.json") == 1


def test_unreadable_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    for name in ("x.json", "y.json"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            files.read_json(tmp_path / name)


def test_rows_are_on_file_after_each_call_and_absent_figures_are_absent(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as writer:
        figures = {
            "a": np.float32(0.5),
            "b": jnp.asarray(2.0, jnp.bfloat16),
            "c": jnp.ones((1,), int),
            "nan": np.nan,
            "inf": jnp.inf,
            "none": None,
        }
        writer.write([row(1, **figures), row(1) | {"seed": np.int64(1)}])
        assert read_rows(path) == [row(1, a=0.5, b=2.0, c=1), row(1, seed=1)]
        writer.write([row(2)])
        assert len(read_rows(path)) == 3
    assert read_rows(tmp_path / "none") == []
    assert "NaN" not in path.read_text()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"seed": 0, "iteration": 1}, "needs a finite time/total_timesteps"),
        (row(1) | {"iteration": float("nan")}, "needs a finite iteration"),
        (row(1, loss=np.ones(2)), "'loss' must be one real number"),
        (row(1, loss="high"), "'loss' must be one real number"),
    ],
)
def test_a_bad_row_is_refused_and_nothing_of_its_call_is_written(bad, message, tmp_path):
    with MetricsWriter(tmp_path / "m") as writer, pytest.raises(ValueError, match=message):
        writer.write([row(0), bad])
    assert read_rows(tmp_path / "m") == []


def test_a_half_written_line_is_passed_over_and_repaired(tmp_path):
    path = tmp_path / "m"
    with MetricsWriter(path) as writer:
        writer.write([row(1), row(2)])
    whole = path.read_bytes()
    # A complete object without its end of line may still be a part: 12 of 123.
    for part in (b"{", b'{"seed": 0, "iteration": 3, "time/total_timesteps": 12}'):
        path.write_bytes(whole + part)
        assert read_rows(path) == [row(1), row(2)]
        with MetricsWriter(path) as writer:
            assert path.read_bytes() == whole
            writer.write([row(3)])
        assert read_rows(path) == [row(1), row(2), row(3)]
    path.write_bytes(b"{")
    MetricsWriter(path).close()
    assert path.read_bytes() == b""


def test_rows_after_the_checkpoint_are_dropped_and_the_rest_keep_their_bytes(tmp_path):
    path = tmp_path / "m"
    rows = [row(i, seed=s, x=1 / (i + s + 1)) for i in range(5) for s in range(2)]
    with MetricsWriter(path) as writer:
        writer.write(rows)
    uninterrupted = path.read_bytes()
    path.write_bytes(uninterrupted + b'{"seed": 0, "iter')
    truncate_after(path, 2)
    assert read_rows(path) == rows[:6]
    with MetricsWriter(path) as writer:
        writer.write(rows[6:])
    assert path.read_bytes() == uninterrupted
    truncate_after(tmp_path / "none", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("line", ["{", "[]", '{"seed": 1}'])
def test_a_bad_line_in_the_middle_is_named(line, tmp_path):
    good = json.dumps(row(1))
    (tmp_path / "m").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match="m, line 2 is not"):
        read_rows(tmp_path / "m")


def settings(**changes):
    facts = {"jax": "1", "jaxlib": "1", "platform": "cpu", "device_count": 1, "xla_flags": ""}
    versions = {fact: changes.pop(fact, value) for fact, value in facts.items()}
    return {"format": 2, "algorithm": "ppo", "environment": "A", "versions": versions} | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": "dqn"}, "algorithm 'dqn', not 'ppo'"),
        ({"environment": "B"}, "environment 'B', not 'A'"),
        ({"data": "0f"}, "data '0f', not None"),
        (
            {"format": 1, "versions": {"rewardtogo": "0.1"}},
            "format 1, .*0.1; .*format 2",
        ),
        ({"format": 3}, "format 3, written by rewardtogo an unknown version"),
    ],
)
def test_the_folder_of_another_run_is_refused(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_versions.compare_settings(settings(**change), settings(), folder=tmp_path)


def test_other_versions_are_warned_of(tmp_path):
    compare = lambda **change: run_versions.compare_settings(
        settings(**change), settings(), folder=tmp_path
    )
    assert compare() == []
    for fact, value in {
        "jax": "0",
        "platform": "gpu",
        "device_count": 2,
        "xla_flags": "-f",
    }.items():
        (warning,) = compare(**{fact: value})
        assert warning.startswith(f"{fact} was {value!r} and is ")


def test_versions_are_those_of_this_process(tmp_path):
    found = run_versions.versions()
    assert found["jax"] == jax.__version__
    assert found["numpy"] == np.__version__
    assert found["device_count"] == jax.device_count()
    write_json(tmp_path / "x.json", found)
    assert files.read_json(tmp_path / "x.json") == found
