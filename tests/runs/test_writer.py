import itertools
import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.runs import checkpoint, resume as resuming, writer as run_writer
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.resume import open_or_create, settings_data, write_settings
from rewardtogo.runs.writer import Place, RunWriter
from rewardtogo.sources.protocol import BufferState
from rewardtogo.training.loop import TrainState
from rewardtogo.types import STEPS
from short_runs import short_run


STATE = TrainState({"weight": jnp.ones((2, 3))}, {"steps": jnp.ones(2)}, BufferState(()))


def place(iteration, steps=(64, 64)):
    return Place(iteration, {STEPS.tag: np.asarray(steps)})


def set_clock(monkeypatch, clock):
    monkeypatch.setattr(run_writer, "time", SimpleNamespace(monotonic=clock))


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "run")


def written(folder, *, larger_is_better=True):
    return RunWriter(folder, range(3, 5), larger_is_better=larger_is_better, tensorboard=False)


def test_a_row_a_seed_without_what_has_no_data(folder, monkeypatch):
    values = itertools.count(0.0, 2.0)
    set_clock(monkeypatch, lambda: next(values))
    writer = written(folder)
    figures = {
        "rollout/ep_rew_mean": np.array([1.0, np.nan]),
        "eval/mean_reward": np.array([4.0, 5.0]),
    }
    writer.write(place(2), 64, figures)
    writer.close()
    common = {"iteration": 2, "time/total_timesteps": 64, "time/time_elapsed": 2.0}
    common["time/fps"] = 32.0  # 32 steps of each of two seeds, in two seconds
    assert read_rows(folder.metrics) == [
        {"seed": 3, "rollout/ep_rew_mean": 1.0, "eval/mean_reward": 4.0, **common},
        {"seed": 4, "eval/mean_reward": 5.0, **common},
    ]


@pytest.mark.parametrize("cost", [0.05, 0.2, 3.0])
def test_saving_takes_at_most_its_share(folder, cost, monkeypatch):
    """Reports every 50 ms; whatever a save costs, it is at most 5 % of the time."""
    clock, spent, saves = [0.0], [0.0], [0]
    set_clock(monkeypatch, lambda: clock[0])

    def slow_save(*args, **kwargs):  # called twice in a save: the policy, and everything
        clock[0] += cost / 2
        spent[0] += cost / 2
        saves[0] += 1

    monkeypatch.setattr(checkpoint, "save", slow_save)
    monkeypatch.setattr(run_writer, "SAVING_LEAST", cost)
    writer = written(folder)
    for _ in range(4_000):
        clock[0] += 0.05
        writer.save_if_due(STATE, place(1), {})
        assert spent[0] <= 0.0501 * clock[0] + 1e-9
    assert saves[0] / 2 >= 0.02 * clock[0] / cost  # and it does save
    writer.close()


def test_a_first_save_is_as_dear_as_it_is_large(folder, monkeypatch):
    """A gigabyte is not saved in the first seconds, before anyone knows what it costs."""
    clock = [0.0]
    set_clock(monkeypatch, lambda: clock[0])
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda *args, **kwargs: saved.append(clock[0]))
    large = np.lib.stride_tricks.as_strided(np.zeros(1), (2**27,), (0,))  # 1 GiB of address
    state = TrainState({}, {}, BufferState(large))
    writer = written(folder)
    for clock[0] in (1.0, 20.0, 99.0, 108.0):
        writer.save_if_due(state, place(1), {})
    assert saved == [108.0, 108.0]
    writer.close()


def test_the_best_stays_until_it_is_beaten(folder):
    writer = written(folder)
    figures = [5.0, 4.0, 5.0, 6.0, 1.0]  # equal is not better
    for iteration, (figure, best) in enumerate(zip(figures, [0, 0, 0, 3, 3], strict=True)):
        writer.save_best(STATE, place(iteration), figure)
        (path,) = checkpoint.finished(folder.best)
        assert checkpoint.read_step(path) == best
        assert checkpoint.read_info(path)["figure"] == figures[best]
    writer.close()


def test_of_losses_the_best_is_the_least(folder):
    writer = written(folder, larger_is_better=False)
    for iteration, (figure, best) in enumerate([(5.0, 0), (6.0, 0), (4.0, 2)]):
        writer.save_best(STATE, place(iteration), figure)
        (path,) = checkpoint.finished(folder.best)
        assert checkpoint.read_step(path) == best
    writer.close()


def test_the_last_save_is_told(folder):
    writer = written(folder)
    assert "No checkpoint" in writer.last_saved()
    writer.save(STATE, place(3), {"finished": False, "total_steps": 100})
    assert str(checkpoint.latest(folder.checkpoints)) in writer.last_saved()
    writer.close()


def test_a_folder_that_holds_anything_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"not empty.*notes\.txt"):
            open_or_create(short_run(), tmp_path, resume=resume)


def test_a_folder_that_holds_a_run_is_refused_unless_resumed(tmp_path):
    folder = open_or_create(short_run(), tmp_path / "run", resume=False)
    write_settings(folder, settings_data(short_run()), None)
    with pytest.raises(ValueError, match="already holds a run"):
        open_or_create(short_run(), folder.path, resume=False)
    assert open_or_create(short_run(), folder.path, resume=True) == folder


def test_what_a_run_began_with_stays_in_its_settings(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "run")
    write_settings(folder, settings_data(short_run()), tmp_path / "other")
    before = json.loads(folder.settings.read_text())
    monkeypatch.setattr(resuming, "versions", lambda: {"jax": "99"})
    write_settings(folder, settings_data(short_run(960)), None)
    after = json.loads(folder.settings.read_text())
    assert after["from_run"] == str(tmp_path / "other")
    assert after["versions"] == before["versions"]
    assert after["recipe"]["total_steps"] == 960
