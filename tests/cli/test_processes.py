"""What only a process of its own can show: signals, locks, and packages that are not there."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest

from rewardtogo.runs import checkpoint
from short_runs import assert_same_end, rows, scratch


PPO = (
    *("train", "ppo", "CartPole-v1", "--seeds", "2", "--num-envs", "8", "--num-steps", "64"),
    *("--num-epochs", "1", "--num-minibatches", "2", "--hidden", "8"),
    *("--eval-episodes", "2", "--report-every", "1024"),
)
FOR_EVER = ("--total-steps", "1000000000")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`rtg` in a process that does not outlive the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(scratch() / "cache"))
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    started = []

    def run(*words):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "rewardtogo", *map(str, words)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait_for_rows(run, number, process):
    while not ((run / "metrics.jsonl").exists() and len(rows_so_far(run)) >= number):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def rows_so_far(run):
    return (run / "metrics.jsonl").read_text().splitlines()


def steps_saved(run):
    path = checkpoint.latest(run / "checkpoints")
    assert path is not None
    return checkpoint.read_info(path)["steps"][0]


def test_killed_and_resumed_and_alone_in_its_folder(start, tmp_path):
    run = tmp_path / "run"
    first = start(*PPO, *FOR_EVER, "--run-dir", "run", "--quiet")
    wait_for_rows(run, 20, first)
    first.send_signal(signal.SIGSTOP)  # it keeps the folder, and need not be caught up with
    settings = (run / "settings.json").read_bytes()

    second = start(*PPO, "--total-steps", 5, "--run-dir", "run", "--resume")
    assert f"in use by process {first.pid}" in second.communicate(timeout=60)[1]
    assert second.returncode == 2
    assert (run / "settings.json").read_bytes() == settings
    assert first.poll() is None

    first.kill()
    first.wait()
    more = ("--total-steps", steps_saved(run) + 5_000, "--quiet")
    ends = [
        start(*PPO, *more, "--run-dir", "run", "--resume"),
        start(*PPO, *more, "--run-dir", "whole"),
    ]
    for process in ends:
        assert "interquartile mean" in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    assert_same_end(run, tmp_path / "whole")


def test_ctrl_c_saves_what_was_reached_and_says_how_to_go_on(start, tmp_path):
    run = tmp_path / "run"
    process = start(*PPO, *FOR_EVER, "--run-dir", "run")
    wait_for_rows(run, 10, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Ctrl-C again stops now" in err
    assert err.splitlines()[-1] == (
        "Interrupted: all is saved; to go on: rtg train ppo CartPole-v1 --run-dir run --resume"
    )
    assert rows(run)[-1]["time/total_timesteps"] == steps_saved(run)


def test_ctrl_c_twice_ends_at_once_and_harms_nothing(start, tmp_path):
    run = tmp_path / "run"
    chunk = ("--report-every", 500_000_000)  # many minutes
    process = start(*PPO, *FOR_EVER, *chunk, "--run-dir", "run", "--quiet")
    while not (run / "settings.json").exists():
        time.sleep(0.005)
    time.sleep(1.0)  # now it compiles, or runs
    process.send_signal(signal.SIGINT)
    assert select.select([process.stderr], [], [], 20.0)[0], "nothing was said"
    while "again" not in (line := process.stderr.readline()):
        assert line, "it ended without a word"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(5) == 130
    assert time.monotonic() - began < 2
    again = start(*PPO, "--total-steps", 1024, "--run-dir", "run", "--resume", "--quiet")
    _, err = again.communicate(timeout=60)
    # Of the settings only the number of steps may change, and how the run is watched.
    assert again.returncode == 0 and err == "Nothing was saved in run: starting over.\n"


CORE_ONLY = """
import sys

class Missing:
    names = {"matplotlib", "tensorboardX", "pygame", "PIL", "Box2D", "mujoco", "pandas", "beartype"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from rewardtogo.cli.main import main
for words in (sys.argv[1:], ["eval", "run", "--episodes", "2"], ["list"], ["check", "CartPole-v1"]):
    assert main(words) == 0, words
assert main(["plot", "run"]) == 1
assert main(["play", "run"]) == 1
assert main(["train", "ppo", "LunarLander-v3"]) == 2
"""


def test_the_core_needs_no_extra(start, tmp_path):
    words = [sys.executable, "-c", CORE_ONLY, *PPO, "--total-steps", "2048", "--run-dir", "run"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('pip install "rewardtogo[plot]"') == 2  # train, and plot
    assert done.stderr.count('pip install "rewardtogo[gym]"') == 2  # play, and LunarLander
    assert (tmp_path / "run" / "evaluation.json").exists()
    assert not (tmp_path / "run" / "curve.png").exists()
