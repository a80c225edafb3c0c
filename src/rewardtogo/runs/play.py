"""Pictures of a trained policy at work."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np

from ..envs.factory import make_host
from ..envs.registry import TABULAR, is_jax_environment
from ..progress import Progress
from .load import Predictor, load
from .resume import read_settings
from .settings import env_args


def play(
    run: Path,
    video: Path,
    *,
    num_episodes: int = 1,
    seed: int = 0,
    training_seed: int | None = None,
    best: bool = False,
    max_steps: int = 1000,
) -> list[float]:
    """Let a run's policy act in Gymnasium's version of its environment and write what is seen.

    Environments written in JAX have no pictures of their own: those that have a Gymnasium twin of
    the same name are played there, "tabular:FrozenLake-v1" in "FrozenLake-v1". **Returns:** the
    return of each episode.
    **Raises:** `ValueError` if the environment cannot be rendered, or a package is missing.
    """
    _without_display()
    _require_pillow()
    settings = read_settings(run)
    name = _twin(settings.environment_name)
    predictor = load(run, seed=training_seed, best=best)
    arguments = env_args(settings.run.env_arg) | {"render_mode": "rgb_array"}
    frames, returns = [], []
    with (
        contextlib.closing(make_host(name, arguments, settings.run.history)()) as env,
        Progress(num_episodes, unit="episodes") as progress,
    ):
        progress.begin()
        for episode in range(num_episodes):
            pictures, rewards = zip(
                *_episode(env, predictor, seed + episode, max_steps), strict=True
            )
            frames += pictures
            returns.append(float(sum(rewards)))
            progress.update(episode + 1, f"return {returns[-1]:.1f}")
        frames_per_second = float(env.metadata.get("render_fps", 30))
    _write(video, frames, frames_per_second)
    return returns


def _twin(name: str) -> str:
    """The name under which Gymnasium has pictures of the environment `name`."""
    if name.startswith(TABULAR):
        twin = name.removeprefix(TABULAR)
        if twin not in gym.registry:
            raise ValueError(
                f"{name} is a finite MDP without a picture: Gymnasium has no {twin!r}."
            )
        return twin
    if is_jax_environment(name) and name not in gym.registry:
        raise ValueError(f"{name} is written in JAX and has no pictures to show.")
    return name


def _episode(
    env: gym.Env, predictor: Predictor, seed: int, max_steps: int
) -> Iterator[tuple[np.ndarray, float]]:
    """The picture of every state of an episode, and the reward that led there."""
    observation, _ = env.reset(seed=seed)
    yield _picture(env), 0.0
    carry, ended, steps = None, False, 0
    while not ended and steps < max_steps:
        action, carry = predictor.predict(observation, carry)
        if isinstance(env.action_space, gym.spaces.Discrete):
            action = int(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        ended, steps = terminated or truncated, steps + 1
        yield _picture(env), float(reward)


def _picture(env: gym.Env) -> np.ndarray:
    try:
        picture = env.render()
    except gym.error.DependencyNotInstalled as error:
        raise ImportError(
            f'pictures of {env} need a package more: pip install "rewardtogo[gym]" ({error})'
        ) from error
    if not isinstance(picture, np.ndarray):
        raise ValueError(f"{env} renders {type(picture).__name__}, not an RGB array.")
    return picture


def _without_display() -> None:
    """Where there is no screen, tell the drawing libraries so; what the user has set wins."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if sys.platform.startswith("linux") and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")


def _require_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError('pictures need Pillow: pip install "rewardtogo[gym]"') from error


def _write(path: Path, frames: list[np.ndarray], frames_per_second: float) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=1000 / frames_per_second, loop=0)
