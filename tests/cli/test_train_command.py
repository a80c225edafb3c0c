import json
import sys

import pytest

from rewardtogo.runs import writer
from rewardtogo.runs.resume import read_settings
from short_runs import (
    assert_same_end,
    compile_cache,  # noqa: F401
    copy_of,
    finished_run,
    rows,
)


SHORT = (
    *("train", "ppo", "CartPole-v1", "--seeds", 2, "--total-steps", 640, "--num-envs", 2),
    *("--num-steps", 16, "--num-epochs", 1, "--num-minibatches", 2, "--hidden", 8),
    *("--learning-rate", 3e-4, "--entropy-coef", 0),
    *("--eval-episodes", 3, "--report-every", 64, "--eval-every", 128),
)


def test_the_command_does_what_the_function_does(command, tmp_path):
    status, out, err = command(*SHORT, "--run-dir", "run")
    assert status == 0
    assert_same_end(tmp_path / "run", finished_run())
    assert read_settings(tmp_path / "run") == read_settings(finished_run())
    lines = out.splitlines()
    assert lines[0] == "ppo on CartPole-v1, 2 seeds, 640 steps each"
    assert "interquartile mean" in lines[1] and "95 % bootstrap interval over seeds" in lines[1]
    assert " s, " in lines[2] and "steps/s over all seeds" in lines[2]
    for name in ("settings.json", "metrics.jsonl", "evaluation.json", "curve.png", "checkpoints"):
        assert f"run/{name}" in out
    said = err.splitlines()
    assert said[0] == "Run folder: run, 2 seeds side by side"
    assert len([line for line in said if "/ 640 steps" in line]) == 10
    assert any("return" in line and "s left" in line for line in said)


def test_quiet_prints_the_summary_only(command):
    status, out, err = command(*SHORT, "--run-dir", "run", "--quiet")
    assert (status, err) == (0, "") and out.startswith("ppo on CartPole-v1")


def test_without_matplotlib_one_line_says_so(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = command(*SHORT, "--run-dir", "run")
    assert status == 0 and "curve.png" not in out
    assert not (tmp_path / "run" / "curve.png").exists()
    (line,) = [line for line in err.splitlines() if "matplotlib" in line]
    assert 'pip install "rewardtogo[plot]"' in line


def test_a_resumed_run_needs_its_flags_not_again(command, tmp_path):
    """Nor does it mind them: the same command with --resume at its end goes on."""
    for name, words in {
        "bare": ("train", "ppo", "CartPole-v1", "--run-dir", "bare", "--resume"),
        "joined": ("train", "ppo", "CartPole-v1", "--run-dir=joined", "--resume"),
        "same": (*SHORT, "--run-dir", "same", "--resume"),
    }.items():
        copy_of(finished_run(), tmp_path / name)
        status, out, err = command(*words)
        assert status == 0 and "is finished; a larger --total-steps continues it" in err
        assert out.startswith("ppo on CartPole-v1, 2 seeds, 640 steps each")


def test_a_larger_number_of_steps_goes_on(command, tmp_path):
    copy_of(finished_run(), tmp_path / "run")
    words = ("train", "ppo", "CartPole-v1", "--run-dir", "run", "--resume")
    status, out, _ = command(*words, "--total-steps", 704)
    assert status == 0 and "2 seeds, 704 steps each" in out
    assert rows(tmp_path / "run")[-1]["time/total_timesteps"] == 704


def test_another_algorithm_does_not_take_over_a_folder(command, tmp_path):
    copy_of(finished_run(), tmp_path / "run")
    status, _, err = command("train", "dqn", "CartPole-v1", "--run-dir", "run", "--resume")
    assert status == 2 and "holds a run of algorithm 'ppo', not 'dqn'" in err


def test_a_newer_folder_is_refused(command, tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    text = (run / "settings.json").read_text()
    (run / "settings.json").write_text(text.replace('"format": 2', '"format": 3'))
    for words in (("train", "ppo", "CartPole-v1", "--run-dir", "run", "--resume"), ("eval", "run")):
        status, _, err = command(*words)
        assert status == 2 and "format 3" in err


def test_the_advice_after_damage_is_said(command, tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    newest = max((run / "checkpoints").iterdir())
    (newest / "arrays.safetensors").write_bytes(b"")
    words = ("train", "ppo", "CartPole-v1", "--run-dir", "run", "--resume")
    status, _, err = command(*words, "--total-steps", 960)
    assert status == 2
    assert "An older one is intact: run/checkpoints/step_" in err
    assert f"remove run/checkpoints/{newest.name} and resume again" in err


OWN = (
    *("train", "ppo", "own_environments:Walk-v0", "--run-dir", "run", "--num-envs", 2),
    *("--num-steps", 16, "--num-epochs", 1, "--num-minibatches", 2, "--hidden", 8),
    *("--total-steps", 640, "--report-every", 64, "--eval-episodes", 2),
)


def test_an_environment_that_raises_is_told_with_its_code(command, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SAVING_SHARE", 1e9)  # save at every report
    words = ("--env-arg", "trouble=raise", "--env-arg", "at=150")
    status, out, err = command(*OWN, *words)
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert lines[-2].startswith("rtg train: environment 0 failed in step 10 of its episode 7 (seed")
    assert lines[-2].endswith("RuntimeError: the motor burnt out")
    assert lines[-1].startswith("The last good checkpoint is kept: run/checkpoints/step_")
    assert "own_environments.py" in err  # the line that raised
    assert (tmp_path / "run" / "checkpoints").is_dir()


def test_nan_is_told_with_its_place(command):
    words = ("--env-arg", "trouble=reward", "at=150")
    status, _, err = command(*OWN, *words)
    assert status == 1
    assert "NaN or infinity in the reward of environment 0 at its step 149" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ppo", "--help"], ["--discount FLOAT", "--total-steps INT", "--resume", "--from"]),
        (["dqn", "CartPole-v1", "--help"], ["--buffer-size", "--polyak-rate", "--double"]),
        (["ppo", "Pendulum-v1", "--help"], ["(default: 0.9)"]),
        (["sac", "--help"], ["--seeds", "--env-arg", "--device", "--tensorboard"]),
    ],
)
def test_help_reads_well(command, words, expected):
    status, out, _ = command("train", *words)
    assert status == 0
    assert all(word in out for word in expected)
    assert "{fixed}" not in out and "Float[Array" not in out


def test_the_settings_file_is_plain_json(command, tmp_path):
    command(*SHORT, "--run-dir", "run", "--quiet")
    data = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert data["format"] == 2 and data["recipe"]["algorithm"]["discount"] == 0.99
