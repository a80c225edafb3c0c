"""Gymnasium's own classic control environments, recorded: the oracle of the tests beside."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np


class Case(NamedTuple):
    low: list[float]  # a region of states that covers every border of the task
    high: list[float]
    control: Callable[[Any], float]  # a policy that gets somewhere random actions do not
    observe: Callable[[Any], list[Any]]  # Gymnasium's observation of its state
    start_low: list[float]
    start_high: list[float]
    rounded: bool = False  # Gymnasium stores this task's state in float32
    # Upright, an error grows e⁴-fold a second: open-loop replay is only fair for a while.
    replay: int = 1000


CASES = {
    "Acrobot-v1": Case(
        [-np.pi, -np.pi, -4 * np.pi, -9 * np.pi],
        [np.pi, np.pi, 4 * np.pi, 9 * np.pi],
        lambda s: 1 + np.sign(s[3]),
        lambda s: [np.cos(s[0]), np.sin(s[0]), np.cos(s[1]), np.sin(s[1]), s[2], s[3]],
        [-0.1] * 4,
        [0.1] * 4,
    ),
    "CartPole-v1": Case(
        [-2.5, -3.0, -0.25, -3.0],
        [2.5, 3.0, 0.25, 3.0],
        lambda s: s[2] + 0.3 * s[3] + 0.03 * s[0] + 0.1 * s[1] > 0,
        lambda s: list(s),
        [-0.05] * 4,
        [0.05] * 4,
        replay=50,
    ),
    "MountainCar-v0": Case(
        [-1.2, -0.07],
        [0.6, 0.07],
        lambda s: 2 * (s[1] >= 0),
        lambda s: list(s),
        [-0.6, 0.0],
        [-0.4, 0.0],
    ),
    "MountainCarContinuous-v0": Case(
        [-1.2, -0.07],
        [0.6, 0.07],
        lambda s: 0.9 * np.sign(s[1]),
        lambda s: list(s),
        [-0.6, 0.0],
        [-0.4, 0.0],
        rounded=True,
    ),
    "Pendulum-v1": Case(
        [-20.0, -8.0],
        [20.0, 8.0],
        lambda s: 2.0 * np.sign(s[1]),
        lambda s: [np.cos(s[0]), np.sin(s[0]), s[1]],
        [-np.pi, -1.0],
        [np.pi, 1.0],
    ),
}


class Record(NamedTuple):
    """Steps of Gymnasium's environment, in float64; episodes have a leading axis and are padded."""

    state: np.ndarray
    action: np.ndarray
    next_state: np.ndarray
    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def random_actions(space: gym.Space, count: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers, or numbers at, within and well beyond the bounds."""
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=count)
    assert isinstance(space, gym.spaces.Box)
    bounds = np.stack([space.low, space.high, 0 * space.low]).astype(float)
    beyond = rng.uniform(2.5 * space.low, 2.5 * space.high, (count, *space.shape))
    return np.concatenate([bounds, beyond])[:count]


def _step(env: Any, action: Any) -> tuple:
    state = np.array(env.unwrapped.state, float)
    observation, reward, terminated, truncated, _ = env.step(action)
    successor = np.array(env.unwrapped.state, float)
    return state, action, successor, observation, reward, terminated, truncated


@functools.cache
def single_steps(name: str, args: tuple = (), count: int = 3000) -> Record:
    """Step once from each of `count` states drawn from the whole region."""
    case, rng = CASES[name], np.random.default_rng(1)
    env: Any = gym.make(name, disable_env_checker=True, **dict(args)).unwrapped
    env.reset(seed=0)
    steps = []
    for action in random_actions(env.action_space, count, rng):
        env.state = rng.uniform(case.low, case.high)
        env.steps_beyond_terminated = None
        steps.append(_step(env, action))
    return Record(*map(np.array, zip(*steps, strict=True)))


@functools.cache
def episodes(name: str) -> tuple[Record, np.ndarray]:
    """Two episodes of random actions and two under control; and which steps were taken."""
    env: Any = gym.make(name, disable_env_checker=True)
    limit = env.spec.max_episode_steps
    records, lengths = [], []
    for episode in range(4):
        control = CASES[name].control if episode % 2 else None
        steps = _play(env, control, seed=episode)
        lengths.append(len(steps))
        padded = steps + steps[-1:] * (limit - len(steps))
        records.append(Record(*map(np.array, zip(*padded, strict=True))))
    taken = np.arange(limit)[None] < np.array(lengths)[:, None]
    return Record(*map(np.stack, zip(*records, strict=True))), taken


def _play(env: Any, control: Callable | None, seed: int) -> list[tuple]:
    env.reset(seed=seed)
    plan = random_actions(env.action_space, env.spec.max_episode_steps, np.random.default_rng(seed))
    steps = []
    for action in plan:
        if control is not None:
            action = np.full_like(action, control(env.unwrapped.state))
        steps.append(_step(env, action))
        if steps[-1][-1] or steps[-1][-2]:
            break
    return steps
