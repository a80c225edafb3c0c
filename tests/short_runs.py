"""Runs of a second or two, and how two of them are compared."""

import atexit
import dataclasses
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from safetensors.numpy import load_file

import rewardtogo as rtg
from rewardtogo.runs import checkpoint
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings


@functools.cache
def scratch() -> Path:
    """A folder for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="rewardtogo-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@pytest.fixture(autouse=True, scope="module")
def compile_cache():
    """Compile each program once for all modules that import this fixture."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], str(scratch() / "xla"))
    jax.config.update(names[1], 0.0)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


PPO = rtg.PPO(num_epochs=1, num_minibatches=2)


def short_run(total_steps: int = 640, *, environment: str = "CartPole-v1", **run: Any) -> Settings:
    """PPO with tiny networks: 32 steps an iteration, a row every second one."""
    recipe = dataclasses.replace(
        rtg.default_recipe("ppo", environment),
        algorithm=PPO,
        num_envs=2,
        num_steps=16,
        hidden=(8,),
        total_steps=total_steps,
    )
    given: dict[str, Any] = {"seeds": 2, "eval_episodes": 3, "report_every": 64} | run
    return Settings(recipe, environment, RunSettings(**given))


@functools.cache
def finished_run() -> Path:
    """A run that all may read and none may change."""
    path = scratch() / "finished"
    fit_settings(short_run(eval_every=128), run_dir=path, quiet=True)
    return path


def copy_of(run: Path, path: Path) -> Path:
    """A run to change."""
    shutil.copytree(run, path)
    return path


def rows(run: Path) -> list[dict[str, Any]]:
    """The metric rows without what depends on the clock."""
    timed = ("time/time_elapsed", "time/fps")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in timed} for line in lines]


def last_arrays(run: Path) -> dict[str, np.ndarray]:
    """All arrays of the newest checkpoint."""
    path = checkpoint.latest(run / "checkpoints")
    assert path is not None
    return load_file(path / "arrays.safetensors")


def assert_same_end(run: Path, whole: Path) -> None:
    """Parameters, optimiser, buffer, keys, environments, rows and figures, bit for bit."""
    found, expected = last_arrays(run), last_arrays(whole)
    assert found.keys() == expected.keys()
    differing = [n for n in expected if found[n].tobytes() != expected[n].tobytes()]
    assert differing == []
    assert rows(run) == rows(whole)
    read = lambda path: json.loads((path / "evaluation.json").read_text())
    assert read(run) == read(whole)


def flip_bit(file: Path) -> None:
    """Change one bit near the end of a file."""
    content = bytearray(file.read_bytes())
    content[-20] ^= 4
    file.write_bytes(content)


def cartpole_observations(number: int) -> np.ndarray:
    """Observations as Gymnasium gives them."""
    env = gym.make("CartPole-v1")
    return np.stack([env.reset(seed=seed)[0] for seed in range(number)])
