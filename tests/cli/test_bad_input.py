"""Whatever is wrong with a command is said at once, in one error, before anything is compiled."""

import importlib
import re
import sys

import pytest


PPO, DQN, SAC = (
    ["ppo", "CartPole-v1"],
    ["dqn", "CartPole-v1"],
    ["sac", "Pendulum-v1"],
)

TABLE = {
    "algorithm": (["pp", "CartPole-v1"], "Unknown algorithm `pp`. Did you mean `ppo`"),
    "environment": (["ppo", "CartPol-v1"], "'CartPol-v1'. Did you mean 'CartPole-v1'"),
    "no environment": (["ppo"], "which environment"),
    "flag": ([*PPO, "--discout", "0.9"], "--discout.*--discount"),
    "actions of DQN": (["dqn", "Pendulum-v1"], "DQN needs a Discrete action space"),
    "actions of SAC": (["sac", "CartPole-v1"], "SAC needs a Box action space"),
    "actions of DPG": (["dpg", "tabular:FrozenLake-v1"], "DPG needs a Box action space"),
    "σ of no Gaussian": ([*PPO, "--std", "state"], r"`std` \(state\).* for continuous actions"),
    "log σ of none": (
        [*PPO, "--initial-log-std", "-1"],
        r"`initial_log_std` \(-1.0\) are for cont",
    ),
    "no steps an episode": (
        ["reinforce", "CartPole-v1", "--max-episode-steps", "0"],
        "`max_episode_steps`.*at least 1; got 0",
    ),
    "a baseline of others": (
        ["reinforce", "CartPole-v1", "--num-episodes", "1"],
        r"`num_episodes` \(1\) must be at least 2: the `baseline`",
    ),
    "no trunk to share": ([*PPO, "--shared-trunk", "--hidden"], "needs layers.*no convolutions.$"),
    "memory": ([*PPO, "--recurrent-size", "0"], "`recurrent_size`.*at least 1; got 0"),
    "sequences": ([*PPO, "--sequence-length", "7"], "is for networks that remember"),
    "stack": ([*PPO, "--stack", "0"], "`stack`.*at least 1; got 0"),
    "past of pictures": (
        ["ppo", "MinAtar/Breakout-v1", "--past-action"],
        "`past_action` follows observations that are discrete or vectors",
    ),
    "discount": ([*PPO, "--discount", "1.5"], r"`discount` must lie in \[0, 1\]; got 1.5"),
    "trace decay": ([*PPO, "--trace-decay", "-0.1"], r"`trace_decay` .*\[0, 1\]; got -0.1"),
    "clip": ([*PPO, "--clip", "0"], "`clip`.* got 0.0"),
    "batch": ([*DQN, "--batch-size", "0"], "`batch_size`.*at least 1; got 0"),
    "minibatches": ([*PPO, "--num-minibatches", "7"], r"`num_minibatches` \(7\) must divide.*512"),
    "negative steps": ([*PPO, "--total-steps", "-5"], "`total_steps`.*at least 1; got -5"),
    "no steps": ([*PPO, "--total-steps", "0"], "`total_steps`.*got 0"),
    "too many steps": ([*PPO, "--total-steps", "9999999999"], "`total_steps` may be at most"),
    "seeds": ([*PPO, "--seeds", "0"], "`seeds`.*at least 1; got 0"),
    "seed": ([*PPO, "--seed", "-1"], "`seed`.*at least 0; got -1"),
    "large seed": ([*PPO, "--seed", "9999999999"], "`seed` .*at most"),
    "learning rate": ([*PPO, "--learning-rate", "0"], "`learning_rate`.*got 0.0"),
    "polyak rate 0": ([*DQN, "--polyak-rate", "0"], r"`polyak_rate`.*\(0, 1\]; got 0.0"),
    "polyak rate 2": ([*SAC, "--polyak-rate", "2"], r"`polyak_rate`.*\(0, 1\]; got 2.0"),
    "nan": ([*PPO, "--entropy-coef", "nan"], "`entropy_coef`.*got nan"),
    "infinity": ([*SAC, "--learning-rate", "inf"], "`learning_rate`.*got inf"),
    "no number": ([*PPO, "--num-steps", "many"], "--num-steps.*many"),
    "half a number": ([*PPO, "--num-steps", "1.5"], "--num-steps.*1.5"),
    "buffer": ([*DQN, "--buffer-size", "9999999999"], r"`buffer_size` 9,999,999,999 needs .* GiB"),
    "warm-up": ([*DQN, "--total-steps", "500"], r"`total_steps` \(500\).*`learning_starts`"),
    "hidden": ([*PPO, "--hidden", "64", "0"], "`hidden`.*got 0"),
    "activation": ([*PPO, "--activation", "rleu"], "rleu.*--activation.*tanh.*relu"),
    "environments": ([*PPO, "--num-envs", "0"], "`num_envs`.*got 0"),
    "argument": ([*PPO, "--env-arg", "length"], "`env_arg` must have the form name=value"),
    "unknown argument": ([*PPO, "--env-arg", "length=2"], "'length'"),
    "backend": ([*PPO, "--backend", "jxa"], "jxa.*--backend"),
    "device": ([*PPO, "--device", "gpu"], "`device` gpu: JAX sees none"),
    "timeout": ([*PPO, "--env-timeout", "nan"], "`env_timeout`.*got nan"),
    "workers": ([*PPO, "--env-workers", "-1"], "`env_workers`.*got -1"),
    "evaluations": ([*PPO, "--eval-episodes", "0"], "`eval_episodes`.*got 0"),
    "early stop": ([*PPO, "--stop-at-return", "100"], "set `eval_every`"),
    "start": ([*PPO, "--from", "nowhere"], "no run folder at nowhere"),
    "resume": ([*PPO, "--resume"], "`resume` needs `run_dir`"),
}


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a program was built")

    module = importlib.import_module("rewardtogo.runs.session")
    monkeypatch.setattr(module, "build_program", fail)


def plain(text):
    """Without the frame that the parser of flags draws."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("name", TABLE)
def test_one_clear_error(name, command, tmp_path):
    words, said = TABLE[name]
    status, out, err = command("train", *words)
    assert (status, out) == (2, "")
    assert re.search(said, plain(err)), err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []  # and no folder was made


def test_an_occupied_folder(command, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    status, _, err = command("train", *PPO, "--run-dir", "full")
    assert status == 2
    assert "run folder full is not empty (it holds thesis.tex): name an empty or a new" in err


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_a_folder_that_cannot_be_written(path, command, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = command("train", *PPO, "--run-dir", path)
    assert status == 2 and f"run folder {path} cannot be written" in err


def test_a_missing_package_is_named(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    status, _, err = command("train", *PPO, "--run-dir", "run", "--tensorboard")
    assert status == 1 and 'pip install "rewardtogo[tensorboard]"' in err


LEARNING = {
    "flag of others": (
        ["predict", "tdc", "Baird", "--trace-decay", "0.5"],
        "`--trace-decay` is not an option of `rtg predict tdc`.*: `rtg predict tdc --help`",
    ),
    "flag misspelt": (
        ["control", "sarsa", "MountainCar-v0", "--features", "tiles", "--step_size=0.1"],
        "`--step-size` is not an .* mean `--step-sizes`.*`rtg control --features tiles --help`",
    ),
    "flag of tables": (
        ["control", "sarsa", "MountainCar-v0", "--features", "tiles", "--planning-steps", "5"],
        "`--planning-steps` is not an option of `rtg control --features tiles`",
    ),
    "features of a finite MDP": (
        ["control", "sarsa", "FrozenLake-v1", "--features", "tiles"],
        "`rtg control sarsa FrozenLake-v1` learns a table, without `--features`",
    ),
    "prediction in an environment": (
        ["predict", "td0", "CartPole-v1"],
        "Prediction and exact solutions are for finite MDPs.*`rtg control METHOD NAME --features",
    ),
    "no policy file": (
        ["predict", "td0", "RandomWalk-5", "--policy", "none.csv"],
        "there is no file none.csv, of which `policy`",
    ),
    "suffix of a policy": (
        ["predict", "td0", "RandomWalk-5", "--policy", "policy.txt"],
        r"policy.txt: a policy's file ends in .csv or .npy or .npz; this one ends in .txt",
    ),
}


GRADIENT = ["predict", "gradient-mc", "RandomWalk-1000-100", "--features"]

# With 8 GiB free.
SIZES = {
    "steps of tdc": (
        ["predict", "tdc", "Baird", "--steps", "1000000000000"],
        "`steps` 1,000,000,000,000 needs .* of the 8.0 GiB of memory that is free: lower `steps`",
    ),
    "seeds of tdc": (
        ["predict", "tdc", "Baird", "--seeds", "1000000"],
        "`seeds` 1,000,000 needs .*each 16 weights at 100 points.*: lower `seeds`",
    ),
    "imagined steps": (
        ["control", "dyna-q", "DynaMaze", "--planning-steps", "1000000000"],
        r"\(2,000,000,004 random numbers for .*: lower `steps` or `planning_steps`",
    ),
    "steps of a table": (
        ["control", "q-learning", "Chain", "--steps", "1000000000000000"],
        "`steps` must be below 2.*31 = 2,147,483,648; got 1,000,000,000,000,000.$",
    ),
    "seeds of a table": (
        ["control", "q-learning", "FrozenLake-v1", "--seeds", "1000000"],
        "`seeds` 1,000,000 needs .*: lower `seeds`",
    ),
    "return": (
        ["train", *DQN, "--n-step", "2000", "--buffer-size", "1000"],
        r"`n_step` \(2000\) may be at most `buffer_size` \(1000\): a return cannot be longer",
    ),
    "tiles": (
        ["control", "sarsa", "MountainCar-v0", "--features", "tiles", "--tiles", "100000"],
        "about 80,001,600,008 features, and at most 10,000,000 can be: lower `tiles` or `tilings`",
    ),
    "order": (
        ["control", "sarsa", "MountainCar-v0", "--features", "fourier", "--order", "5000"],
        "`order` 5,000, .* about 25,010,001 features, and .*: lower `order`",
    ),
    "tiles of a picture": (
        ["control", "sarsa", "MinAtar/Breakout-v1", "--features", "tiles"],
        r"with 400 number\(s\) observed, would be about 10\^383 features.* of few numbers",
    ),
    "episodes with features": (
        ["control", "sarsa", "MountainCar-v0", "--features", "tiles", "--episodes", "10000000000"],
        "`seeds` 20 needs .*10,000,000,000 episodes.*: lower `seeds`, `episodes` or",
    ),
    "seeds and episodes": (
        ["predict", "td0", "RandomWalk-5", "--seeds", "1000000", "--episodes", "100000"],
        "10 step.* × `seeds` 1,000,000 × `episodes` 100,000 needs .*: lower `seeds`, `episodes` or",
    ),
    "an episode remembered": (
        ["predict", "mc-first", "RandomWalk-5", "--max-steps", "1000000000000"],
        "`max_steps` 1,000,000,000,000 needs .*: lower `max_steps`",
    ),
    "a window": (
        ["predict", "n-step", "RandomWalk-5", "--n", "1000000000000"],
        "`n` 1,000,000,000,000 needs .*: lower `n`",
    ),
    "powers": (
        [*GRADIENT, "polynomial", "--order", "100000"],
        "Polynomial of 100,001 features has 100,201,002 numbers.* Lower the number of features",
    ),
    "tilings": (
        [*GRADIENT, "tiles", "--tilings", "100000"],
        "100,000 for each of 1,002 states, and at most 50,000,000 can be",
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_what_cannot_fit_is_refused(name, command, monkeypatch):
    words, said = SIZES[name]
    monkeypatch.setattr("rewardtogo.free_memory.free_memory", lambda: 2**33)
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert re.search(said, err) and err.count("\n") == 1, err


@pytest.mark.parametrize("name", LEARNING)
def test_prediction_and_control_too(name, command):
    words, said = LEARNING[name]
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert re.search(said, err) and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "nowhere"], "no run folder at nowhere"),
        (["eval", "x", "--episodes", "0"], "`episodes`.*got 0"),
        (["eval", "x", "--seed", "-1"], "`seed`.*got -1"),
        (["eval", "x", "--seed", "9999999999"], "`seed` must be below"),
        (["play", "nowhere"], "no run folder at nowhere"),
        (["play", "x", "--video", "a.avi"], "`.avi`.*Known: .gif, .png, .webp"),
        (["play", "x", "--episodes", "0"], "`episodes`.*got 0"),
        (["play", "x", "--max-steps", "0"], "`max_steps`.*got 0"),
        (["plot"], "name at least one run folder"),
        (["plot", "nowhere"], "no run folder at nowhere"),
        (["plot", "x", "--reference", "nan"], "`reference`.*got nan"),
        (["check", "CartPol-v1"], "Did you mean 'CartPole-v1'"),
        (["list", "--al"], "--al"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_the_other_commands_too(words, said, command):
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert re.search(said, plain(err)), err
