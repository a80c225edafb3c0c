"""A run killed at any moment and resumed ends as one that was left alone."""

import contextlib
import dataclasses
import json
import os
import random
import shutil

import pytest

import rewardtogo as rtg
from rewardtogo.runs import checkpoint, metrics, writer
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings
from short_runs import (
    assert_same_end,
    compile_cache,  # noqa: F401
    copy_of,
    finished_run,
    flip_bit,
    rows,
    short_run,
)


def short_replay_run(algorithm, environment, **changes):
    """The buffer fills up and is written over."""
    recipe = dataclasses.replace(
        rtg.default_recipe(algorithm, environment),
        num_envs=2,
        num_steps=4,
        num_updates=2,
        batch_size=8,
        buffer_size=128,
        learning_starts=32,
        hidden=(8,),
        total_steps=320,
        **changes,
    )
    run = RunSettings(seeds=2, eval_episodes=2, report_every=32)
    return Settings(recipe, environment, run)


@contextlib.contextmanager
def copies_at(run, moments, where):
    """Copy the run folder just before and after some of the file operations of a run.

    A process that is killed leaves behind what is in its folder at that moment, and no more.
    """
    count, taken = [0], []

    def watched(operation):
        def wrapped(*args, **kwargs):
            copy_now()
            result = operation(*args, **kwargs)
            copy_now()
            return result

        return wrapped

    def copy_now():
        count[0] += 1
        if count[0] in moments and run.exists():
            taken.append(shutil.copytree(run, where / str(count[0])))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(f"pathlib.Path.{name}", watched(getattr(type(run), name)))
        patch.setattr(os, "fsync", watched(os.fsync))
        patch.setattr(metrics.MetricsWriter, "write", watched(metrics.MetricsWriter.write))
        yield taken


def short_trust_region_run():
    recipe = dataclasses.replace(
        rtg.default_recipe("trpo", "CartPole-v1"),
        algorithm=rtg.TRPO(num_epochs=1, num_minibatches=2),
        num_envs=2,
        num_steps=16,
        hidden=(8,),
        total_steps=320,
    )
    run = RunSettings(seeds=2, eval_episodes=2, report_every=32)
    return Settings(recipe, "CartPole-v1", run)


CASES = {
    "ppo": lambda: short_run(eval_every=128),
    "trpo": short_trust_region_run,
    "td3": lambda: short_replay_run("td3", "Pendulum-v1"),
    "dqn": lambda: short_replay_run("dqn", "CartPole-v1"),
    "dqn-prioritised": lambda: short_replay_run(
        "dqn", "CartPole-v1", prioritised=True, n_step=3, importance_updates=40
    ),
    "sac": lambda: short_replay_run("sac", "Pendulum-v1"),
}


@pytest.mark.parametrize("name", CASES)
def test_killed_and_resumed_is_uninterrupted(name, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SAVING_SHARE", 1e9)  # save at every report
    settings, whole = CASES[name](), tmp_path / "whole"
    moments = set(random.Random(name).sample(range(20, 200), 4))
    with copies_at(whole, moments, tmp_path) as killed:
        fit_settings(settings, run_dir=whole, quiet=True)
    monkeypatch.undo()
    assert len(killed) >= 2
    for run in killed[:2]:
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"seed": 0, "iterat')  # a row that was being written
        before = rows_known_good(run)
        fit_settings(settings, run_dir=run, resume=True, quiet=True)
        assert rows(run)[: len(before)] == before
        assert_same_end(run, whole)
        assert not list(run.rglob(".unfinished*"))


def rows_known_good(run):
    """The rows up to the newest checkpoint."""
    path = checkpoint.latest(run / "checkpoints")
    last = -1 if path is None else checkpoint.read_step(path)
    lines = (run / "metrics.jsonl").read_text().splitlines()[:-1]
    timed = ("time/time_elapsed", "time/fps")
    found = [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]
    return [row for row in found if row["iteration"] <= last]


def test_killed_in_the_final_evaluation_only_evaluates(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    (run / "evaluation.json").unlink()
    fit_settings(short_run(eval_every=128), run_dir=run, resume=True, quiet=True)
    assert_same_end(run, finished_run())


def test_an_early_stop_is_not_trained_beyond_by_a_resume(tmp_path):
    settings, run = short_run(eval_every=128, stop_at_return=1.0), tmp_path / "run"
    fit_settings(settings, run_dir=run, quiet=True)
    for _ in range(2):  # finished; then killed before the figures were written
        result = fit_settings(settings, run_dir=run, resume=True, quiet=True)
        assert result.evaluation.steps == (128, 128)
        (run / "evaluation.json").unlink()


def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    run = copy_of(finished_run(), tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = fit_settings(short_run(eval_every=128), run_dir=run, resume=True, quiet=True)
    assert "is finished" in capsys.readouterr().err
    assert result.evaluation.steps == (640, 640)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    del before[run / "lock"], after[run / "lock"]
    assert after == before


def test_more_steps_continue_a_finished_run(tmp_path):
    run, whole = copy_of(finished_run(), tmp_path / "run"), tmp_path / "whole"
    fit_settings(short_run(960, eval_every=128), run_dir=run, resume=True, quiet=True)
    fit_settings(short_run(960, eval_every=128), run_dir=whole, quiet=True)
    assert_same_end(run, whole)
    assert json.loads((run / "settings.json").read_text())["recipe"]["total_steps"] == 960


def test_fewer_steps_than_done_leave_a_finished_run(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    fit_settings(short_run(320, eval_every=128), run_dir=run, resume=True, quiet=True)
    assert json.loads((run / "settings.json").read_text())["recipe"]["total_steps"] == 640


def test_nothing_saved_starts_over_and_says_so(tmp_path, capsys):
    run = copy_of(finished_run(), tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    fit_settings(short_run(eval_every=128), run_dir=run, resume=True, quiet=True)
    assert "Nothing was saved" in capsys.readouterr().err
    assert_same_end(run, finished_run())
    fresh = tmp_path / "fresh"
    fit_settings(short_run(eval_every=128), run_dir=fresh, resume=True, quiet=True)
    assert "Nothing was saved" in capsys.readouterr().err
    assert_same_end(fresh, finished_run())


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="`resume` needs `run_dir`"):
        fit_settings(short_run(), resume=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_offered(damage, tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    older, newest = checkpoint.finished(run / "checkpoints")[-2:]
    file = newest / "arrays.safetensors"
    if damage == "flip":
        flip_bit(file)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    settings = short_run(960, eval_every=128)
    with pytest.raises(checkpoint.CheckpointError) as caught:
        fit_settings(settings, run_dir=run, resume=True, quiet=True)
    assert str(file) in str(caught.value)
    assert f"An older one is intact: {older}" in str(caught.value)
    assert caught.value.__notes__ == [
        f"To go on from the one before, remove {newest} and resume again."
    ]


def test_the_advice_after_damage_works(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    shutil.rmtree(checkpoint.finished(run / "checkpoints")[-1])
    fit_settings(short_run(eval_every=128), run_dir=run, resume=True, quiet=True)
    assert_same_end(run, finished_run())


def altered(run, change):
    data = json.loads((run / "settings.json").read_text())
    change(data)
    (run / "settings.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(format=99), "format 99"),
        (lambda data: data.update(algorithm="dqn"), "algorithm 'dqn', not 'ppo'"),
        (lambda data: data.update(environment="Acrobot-v1"), "'Acrobot-v1', not 'CartPole-v1'"),
        (lambda data: data["run"].update(seed=3), "`seed` was 3 and is now 0"),
        (lambda data: data["recipe"].update(hidden=[9]), r"`hidden` was \[9\] and is now \[8\]"),
        (lambda data: data["recipe"]["algorithm"].update(clip=0.3), "`clip` was 0.3"),
    ],
    ids=["newer", "algorithm", "environment", "seed", "hidden", "clip"],
)
def test_another_run_is_not_gone_on_with(change, words, tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    altered(run, change)
    with pytest.raises(ValueError, match=words):
        fit_settings(short_run(eval_every=128), run_dir=run, resume=True, quiet=True)


def test_other_versions_and_flags_are_warned_of(tmp_path, capsys):
    run = copy_of(finished_run(), tmp_path / "run")
    altered(run, lambda data: data["versions"].update(jax="0.1", xla_flags="--other"))
    fit_settings(short_run(704, eval_every=128), run_dir=run, resume=True, quiet=True)
    said = capsys.readouterr().err
    assert "jax was '0.1'" in said and "xla_flags was '--other'" in said
    # What the run began with stays on record.
    assert json.loads((run / "settings.json").read_text())["versions"]["jax"] == "0.1"


def test_how_a_run_is_watched_may_change(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    settings = short_run(704, eval_every=0, eval_episodes=2, env_timeout=5.0)
    result = fit_settings(settings, run_dir=run, resume=True, quiet=True)
    assert result.evaluation.episodes == 2
    assert json.loads((run / "settings.json").read_text())["run"]["env_timeout"] == 5.0


def test_a_resumed_host_run_begins_new_episodes_and_says_so(tmp_path, capsys):
    run = tmp_path / "run"
    settings = lambda steps: short_run(steps, environment="own_environments:Walk-v0", seeds=1)
    fit_settings(settings(128), run_dir=run, quiet=True)
    episodes = lambda: arrays_named(run, "collector/episode")
    before = episodes()
    fit_settings(settings(256), run_dir=run, resume=True)
    assert "begin new episodes" in capsys.readouterr().err
    # Each of the two environments: 64 steps are three episodes and a part; then again, after it.
    assert before.tolist() == [[3, 3]] and episodes().tolist() == [[7, 7]]
    found = rows(run)
    assert [row["time/total_timesteps"] for row in found] == [64, 128, 192, 256]


def arrays_named(run, name):
    from short_runs import last_arrays

    return last_arrays(run)[name]


def test_speed_counts_what_was_done_this_time(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    result = fit_settings(short_run(704, eval_every=128), run_dir=run, resume=True, quiet=True)
    assert result.steps == 2 * 64
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["time/fps"] * last["time/time_elapsed"] == pytest.approx(2 * 64)
