import json

import pytest
from PIL import Image

from rewardtogo.envs.registry import jax_environments
from rewardtogo.recipes import RECIPES
from short_runs import (
    compile_cache,  # noqa: F401
    finished_run,
)


def test_eval_prints_every_seed_and_the_figure(command):
    status, out, _ = command("eval", finished_run(), "--episodes", 3)
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == "ppo on CartPole-v1: 3 episodes a seed"
    assert [line.split()[:2] for line in lines[1:3]] == [["seed", "0"], ["seed", "1"]]
    assert "interquartile mean over seeds" in lines[3] and "95 %" in lines[3]


def test_eval_gives_json(command):
    status, out, err = command("eval", finished_run(), "--episodes", 3, "--json", "--seed", 0)
    assert (status, err) == (0, "")
    # Seed 0 is the final evaluation's own.
    assert json.loads(out) == json.loads((finished_run() / "evaluation.json").read_text())
    other = json.loads(command("eval", finished_run(), "--episodes", 3, "--json").out)
    assert other["seeds"] != json.loads(out)["seeds"]


def test_eval_of_the_best(command):
    status, out, _ = command("eval", finished_run(), "--episodes", 3, "--best", "--json")
    assert status == 0
    steps = {row["steps"] for row in json.loads(out)["seeds"]}
    assert len(steps) == 1 and steps <= {128, 256, 384, 512, 640}


def test_play_writes_a_moving_picture(command, tmp_path):
    status, out, err = command("play", finished_run(), "--video", "a.gif", "--max-steps", 8)
    assert status == 0 and out.startswith("a.gif: return of each episode ")
    assert "1 / 1 episodes" in err
    with Image.open(tmp_path / "a.gif") as picture:
        assert getattr(picture, "n_frames", 1) > 3


def test_play_of_a_seed_that_was_not_trained(command):
    status, _, err = command("play", finished_run(), "--training-seed", 9)
    assert status == 2 and "trained the seeds 0 to 1, not `seed` 9" in err


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_compares_runs(command, tmp_path, suffix):
    runs = (finished_run(), finished_run())
    status, out, _ = command(
        "plot", *runs, "--output", f"c.{suffix}", "--labels", "first", "second"
    )
    assert (status, out) == (0, f"c.{suffix}\n")
    content = (tmp_path / f"c.{suffix}").read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == "png" else b"<?xml")


def test_list_says_what_goes_with_what(command):
    status, out, _ = command("list")
    assert status == 0
    table = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert set(RECIPES) <= table.keys() and set(jax_environments()) <= table.keys()
    assert "dqn" in table["CartPole-v1"] and "sac" not in table["CartPole-v1"]
    assert "sac*" in table["Pendulum-v1"] and "dqn" not in table["Pendulum-v1"]
    assert (
        "FrozenLake-v1" in out
        and "as tabular:NAME" in out
        and "(a2c, actor-critic, dqn, npg, off-policy-pg, ppo, reinforce, trpo)" in out
    )
    assert "LunarLander-v3, …" in out and "Ant-v5" not in out
    assert "Ant-v5" in command("list", "--all").out


def test_check_finds_nothing_wrong_with_what_is_right(command):
    status, out, _ = command("check", "own_environments:Line")
    assert (status, out) == (0, "own_environments:Line: no problems found.\n")
    assert command("check", "own_environments:Walk-v0", "--env-arg", "at=5").status == 0


def test_check_names_what_is_wrong(command):
    status, out, _ = command(
        "check", "own_environments:Walk-v0", "--env-arg", "trouble=reward", "at=1"
    )
    assert status == 1
    assert "reward" in out and "problem" in out.splitlines()[-1]
