import dataclasses
import json
import math

import jax
import numpy as np
import pytest

import rewardtogo as rtg
from rewardtogo.envs.block import EnvironmentFault
from rewardtogo.runs import checkpoint, writer
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.statistics import interquartile_mean
from rewardtogo.training.train import TrainingFault
from short_runs import (
    compile_cache,  # noqa: F401
    finished_run,
    last_arrays,
    rows,
    short_run,
)


def read(path):
    return json.loads(path.read_text())


def test_the_run_folder_holds_what_was_promised():
    names = {path.name for path in finished_run().iterdir()}
    assert names == {
        *("settings.json", "metrics.jsonl", "evaluation.json", "curve.png"),
        *("checkpoints", "policy", "best", "lock"),
    }
    assert not list(finished_run().rglob("*.pkl"))


def test_a_row_for_every_report_and_seed():
    found = rows(finished_run())
    assert [(row["iteration"], row["seed"]) for row in found] == [
        (iteration, seed) for iteration in range(2, 21, 2) for seed in (0, 1)
    ]
    for row in found:
        assert row["time/total_timesteps"] == 32 * row["iteration"]
        assert row.keys() >= {"train/loss", "train/value_loss", "train/approx_kl"}
        assert all(math.isfinite(value) for value in row.values())


def test_episode_figures_are_absent_where_no_episode_ended(tmp_path):
    """An episode of MountainCar lasts 200 steps of one environment."""
    settings = short_run(256, environment="MountainCar-v0", seeds=1, eval_episodes=1)
    fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    found = rows(tmp_path / "run")
    assert ["rollout/ep_rew_mean" in row for row in found] == [False] * 4
    assert not (tmp_path / "run" / "curve.png").exists()  # nothing to draw, and no error
    assert read(tmp_path / "run" / "evaluation.json")["interval"] is None  # of one seed


def test_the_figure_over_seeds_is_their_interquartile_mean():
    data = read(finished_run() / "evaluation.json")
    means = [row["mean"] for row in data["seeds"]]
    assert [row["seed"] for row in data["seeds"]] == [0, 1]
    assert [row["steps"] for row in data["seeds"]] == [640, 640]
    assert data["iqm"] == pytest.approx(float(interquartile_mean(means)))
    low, high = data["interval"]
    assert min(means) <= low <= data["iqm"] <= high <= max(means)
    assert data["level"] == 0.95 and data["episodes"] == 3


def test_evaluations_come_when_due_and_the_best_is_kept():
    evaluated = [row for row in rows(finished_run()) if "eval/mean_reward" in row]
    assert sorted({row["time/total_timesteps"] for row in evaluated}) == [128, 256, 384, 512, 640]
    by_step = {}
    for row in evaluated:
        by_step.setdefault(row["time/total_timesteps"], []).append(row["eval/mean_reward"])
    best = max(by_step, key=lambda step: np.mean(by_step[step]))
    path = checkpoint.latest(finished_run() / "best")
    assert path is not None
    info = checkpoint.read_info(path)
    assert info["steps"] == [best, best]
    assert info["figure"] == pytest.approx(np.mean(by_step[best]))
    assert len(checkpoint.finished(finished_run() / "best")) == 1


def test_total_steps_is_rounded_up_to_whole_iterations(tmp_path):
    result = fit_settings(short_run(100, eval_episodes=1), run_dir=tmp_path / "run", quiet=True)
    assert result.evaluation.steps == (128, 128)
    assert result.steps == 256  # of both seeds


def test_training_ends_once_the_return_is_reached(tmp_path, capsys):
    settings = short_run(eval_every=128, stop_at_return=1.0)
    result = fit_settings(settings, run_dir=tmp_path / "run")
    assert result.evaluation.steps == (128, 128)
    assert "reached 1" in capsys.readouterr().err


def test_a_run_starts_from_the_parameters_of_another(tmp_path):
    """With a learning rate of nearly 0 they are still there after an iteration."""
    settings = short_run(32, eval_episodes=1)
    algorithm = rtg.PPO(num_epochs=1, num_minibatches=2, learning_rate=1e-12)
    recipe = dataclasses.replace(settings.recipe, algorithm=algorithm)
    settings = dataclasses.replace(settings, recipe=recipe)
    fit_settings(settings, run_dir=tmp_path / "run", from_run=finished_run(), quiet=True)
    parameters = lambda run: {
        name: array
        for name, array in last_arrays(run).items()
        if "opt_state" not in name and name.startswith("learner")
    }
    found, expected = parameters(tmp_path / "run"), parameters(finished_run())
    assert len(expected) == 9
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-9)
    assert read(tmp_path / "run" / "settings.json")["from_run"] == str(finished_run())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: dataclasses.replace(s, run=RunSettings(seeds=3)), "2 seed.*fewer.* 3"),
        (lambda s: short_run(environment="Acrobot-v1"), "does not fit"),
        (
            lambda s: Settings(rtg.default_recipe("dqn", "CartPole-v1"), "CartPole-v1"),
            "'ppo', not of 'dqn'",
        ),
    ],
    ids=["seeds", "environment", "algorithm"],
)
def test_a_run_does_not_start_from_what_does_not_fit(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        fit_settings(change(short_run()), run_dir=tmp_path / "run", from_run=finished_run())
    assert not (tmp_path / "run").exists()


def test_eight_seeds_in_jax_and_one_on_the_host():
    from rewardtogo.runs.fit import with_seeds

    assert with_seeds(short_run(seeds=None)).run.seeds == 8
    assert with_seeds(short_run(seeds=None, backend="gymnasium")).run.seeds == 1
    assert with_seeds(short_run(seeds=3)).run.seeds == 3


def test_a_number_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    """The message has field, environment and step; nothing of the bad chunk is kept."""
    monkeypatch.setattr(writer, "SAVING_SHARE", 1e9)  # save at every report
    run = tmp_path / "run"
    settings = short_run(environment="own_environments:Line", env_arg=("bad_place=10",))
    with pytest.raises(TrainingFault) as caught:
        fit_settings(settings, run_dir=run, quiet=True)
    assert "reward of environment" in str(caught.value) and "step" in str(caught.value)
    step = int(str(caught.value).split("at its step ")[1].split()[0])
    kept = checkpoint.latest(run / "checkpoints")
    assert kept is not None, "the fault should come after the first report"
    assert str(kept) in caught.value.__notes__[0]
    last = rows(run)[-1]["time/total_timesteps"]
    assert last // 2 <= step < last // 2 + 32  # 2 environments, 64 steps a chunk
    assert checkpoint.read_info(kept)["steps"][0] <= last
    assert not (run / "evaluation.json").exists()


def test_what_an_environment_raises_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SAVING_SHARE", 1e9)  # save at every report
    settings = short_run(
        environment="own_environments:Walk-v0", seeds=1, env_arg=("trouble=raise", "at=150")
    )
    with pytest.raises(EnvironmentFault, match="the motor burnt out") as caught:
        fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    # The 150th step is the 10th of episode 7: episodes have 20.
    assert "environment 0 failed in step 10 of its episode 7 (seed " in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "The last good checkpoint is kept" in caught.value.__notes__[0]


def test_the_reward_of_a_host_environment_is_looked_at_too(tmp_path):
    settings = short_run(
        environment="own_environments:Walk-v0", seeds=1, env_arg=("trouble=reward", "at=150")
    )
    with pytest.raises(TrainingFault, match="reward of environment 0 at its step 149"):
        fit_settings(settings, run_dir=tmp_path / "run", quiet=True)


def test_runs_of_the_same_settings_are_the_same(tmp_path):
    for name in ("a", "b"):
        fit_settings(short_run(128), run_dir=tmp_path / name, quiet=True)
    first, second = last_arrays(tmp_path / "a"), last_arrays(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)
    other = short_run(128, seed=5)
    fit_settings(other, run_dir=tmp_path / "c", quiet=True)
    assert rows(tmp_path / "c")[0]["seed"] == 5
    assert rows(tmp_path / "c")[0]["train/loss"] != rows(tmp_path / "a")[0]["train/loss"]


def test_nothing_is_compiled_for_settings_that_cannot_be(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("compiled")

    monkeypatch.setattr(jax, "jit", fail)
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "file").touch()
    with pytest.raises(ValueError, match="not empty"):
        fit_settings(short_run(), run_dir=occupied)


def test_tensorboard_files_for_every_seed(tmp_path):
    fit_settings(short_run(64), run_dir=tmp_path / "run", tensorboard=True, quiet=True)
    assert len(list((tmp_path / "run" / "tensorboard").glob("seed_*/events.out.*"))) == 2


def test_without_a_name_a_run_is_put_under_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = fit_settings(short_run(32), quiet=True)
    assert result.path.parent.name == "runs" and result.path.name.startswith("ppo-CartPole-v1-")
    assert (result.path / "evaluation.json").exists()
