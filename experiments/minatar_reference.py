"""Record the original MinAtar games, draws included: `python -m experiments.minatar_reference`.

Needs the package `minatar` (Young & Tian, 2019; version 1.0.15 made the files). The tests of
`rewardtogo.envs.minatar` inject the draws and must reproduce every observation.
"""

import argparse
import copy
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


LEFT, UP, RIGHT = 1, 2, 3
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "envs" / "data"
Control = Callable[[Any, np.random.Generator], int]
Encode = Callable[[list[Any]], list[int]]


class Recorder:
    """NumPy's `RandomState` as far as the games use it, keeping what it returned."""

    def __init__(self, seed: int):
        self.source = np.random.RandomState(seed)
        self.taken: list[Any] = []

    def rand(self, *shape: int) -> Any:
        self.taken.append(self.source.rand(*shape))
        return self.taken[-1]

    def randint(self, *args: int, **bounds: int) -> Any:
        self.taken.append(self.source.randint(*args, **bounds))
        # A copy: a game may change what it got in place.
        return copy.copy(self.taken[-1])

    def hand_over(self) -> list[Any]:
        taken, self.taken = self.taken, []
        return taken


def follow_ball(game: Any, rng: np.random.Generator) -> int:
    """Keep the paddle below the ball; half of the time, below where it goes next."""
    ahead = 1 if game.ball_dir in (1, 2) else -1
    target = np.clip(game.ball_x + ahead * rng.integers(2), 0, 9)
    if target == game.pos:
        return 0
    return LEFT if target < game.pos else RIGHT


def go_up(game: Any, rng: np.random.Generator) -> int:
    return UP if rng.random() < 0.9 else int(rng.integers(6))


def look_ahead(game: Any, rng: np.random.Generator) -> int:
    """The first action of the best of some short random futures."""
    best, chosen = -np.inf, 0
    for first in rng.permutation(np.repeat(game.minimal_action_set(), 4)):
        future, score = copy.deepcopy(game), 0.0
        for depth in range(6):
            action = first if depth == 0 else rng.choice(game.minimal_action_set())
            reward, over = future.act(int(action))
            score += 0.9**depth * (reward - 100 * over)
            if over:
                break
        if score > best:
            best, chosen = score, int(first)
    return chosen


def no_draws(taken: list[Any]) -> list[int]:
    assert not taken
    return []


def ball_side(taken: list[Any]) -> list[int]:
    (side,) = taken
    return [side]


def spawn(taken: list[Any]) -> list[int]:
    """From the left, gold, rank of the free slot: zeros where nothing was drawn."""
    if not taken:
        return [0, 0, 0]
    side, kind, *rank = taken
    return [side < 1 / 2, kind < 1 / 3, *(rank or [0])]


def signed_speeds(taken: list[Any]) -> list[int]:
    if not taken:
        return [0] * 8
    speeds, directions = taken
    return list(speeds * np.sign(directions - 0.5).astype(int))


class Plan(NamedTuple):
    game: str
    steps: int
    control: Control
    start: Encode
    step: Encode
    ramping: bool = True
    seed: int = 0


# Under seed 1 of Breakout, a wall of bricks is cleared and built anew.
PLANS = {
    "breakout": Plan("breakout", 6000, follow_ball, ball_side, no_draws, seed=1),
    "asterix": Plan("asterix", 4000, look_ahead, no_draws, spawn),
    "asterix_flat": Plan("asterix", 800, look_ahead, no_draws, spawn, ramping=False),
    "freeway": Plan("freeway", 5002, go_up, signed_speeds, signed_speeds),
}


def record(plan: Plan) -> dict[str, np.ndarray]:
    """Whole episodes, at random and under control in turn; `action` is what was played."""
    env = importlib.import_module("minatar").Environment(plan.game, difficulty_ramping=plan.ramping)
    rng = np.random.default_rng(plan.seed)
    env.seed(plan.seed)
    draws = env.env.random = Recorder(plan.seed)
    starts, steps, episode = [], [], 0
    while len(steps) < plan.steps:
        env.reset()
        starts.append((plan.start(draws.hand_over()), np.packbits(env.state())))
        over = False
        while not over:
            control = plan.control if episode % 2 else None
            action = control(env.env, rng) if control else int(rng.integers(6))
            reward, over = env.act(action)
            taken = plan.step(draws.hand_over())
            steps.append(
                (episode, env.last_action, taken, np.packbits(env.state()), int(reward), over)
            )
        episode += 1
    start_draws, start_observation = map(np.array, zip(*starts, strict=True))
    episodes, action, taken, observation, reward, terminated = map(
        np.array, zip(*steps, strict=True)
    )
    return {
        "start_draws": start_draws.astype(np.int8),
        "start_observation": start_observation,
        "episode": episodes.astype(np.int16),
        "action": action.astype(np.int8),
        "draws": taken.astype(np.int8),
        "observation": observation,
        "reward": reward.astype(np.int8),
        "terminated": terminated,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PLANS, help="one of the files")
    options = parser.parse_args()
    for name in [options.only] if options.only else PLANS:
        recorded = record(PLANS[name])
        path = FOLDER / f"minatar_{name}.npz"
        np.savez_compressed(path, **recorded)  # pyright: ignore[reportArgumentType]
        print(
            f"{path.name}: {len(recorded['action'])} steps, {len(recorded['start_draws'])} "
            f"episodes, return {recorded['reward'].sum()}, {path.stat().st_size} bytes"
        )
