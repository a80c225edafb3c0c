"""Record games of the original MinAtar package: what the games written in JAX must reproduce.

Run where that package (1.0.15, GPL-3.0) is installed; nothing else here needs it:

    python experiments/minatar_reference_more.py --folder tests/envs/data

A file holds `action`, `reward`, `terminated`, `draws` and `difficulty_ramping` of every step, the
number of its `episode`, `observation`: the bits of the observation after it, and
`start_observation`, which is that of every start. Some episodes are cut before their end.
"""

import argparse
import copy
import importlib
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)
GAMES = ("space_invaders", "seaquest")
ACTIONS = {"space_invaders": (NOOP, LEFT, RIGHT, FIRE), "seaquest": tuple(range(6))}


class Episode(NamedTuple):
    """How an episode is played: at random with no plans; the more, the longer it lives."""

    plans: int  # tried before each step
    length: int  # of a plan
    ramping: bool = True
    haste: float = 0.0  # what a step up the ramp is worth to a plan
    fires: bool = True  # without, aliens come down to the last row


EPISODES = {
    "space_invaders": (
        *[Episode(0, 0)] * 3,
        Episode(4, 12, ramping=False),
        Episode(8, 12, haste=2),
        Episode(12, 25, haste=2),
        *[Episode(12, 15, fires=False)] * 3,
    ),
    "seaquest": (
        *[Episode(0, 0)] * 4,
        Episode(8, 12, ramping=False),
        Episode(6, 12, haste=3),
        Episode(16, 18),
        Episode(20, 18, haste=3),
    ),
}
MAX_STEPS = 1200


class RecordingRandom:
    """Draw like the original's generator and write every draw down."""

    def __init__(self, seed: int):
        self.generator = np.random.RandomState(seed)
        self.calls: list[float] = []

    def rand(self) -> float:
        """Draw from [0, 1)."""
        self.calls.append(self.generator.rand())
        return self.calls[-1]

    def randint(self, low: int, high: int) -> int:
        """Draw from {low, …, high - 1}."""
        self.calls.append(self.generator.randint(low=low, high=high))
        return int(self.calls[-1])


def seaquest_draws(calls: list[float]) -> list[int]:
    """Whether the enemy swims right, is a submarine, its row; the diver's direction and row."""
    enemy = calls[:3] if len(calls) >= 3 else [1.0, 1.0, 0]
    diver = calls[-2:] if len(calls) in (2, 5) else [1.0, 0]
    return [
        int(enemy[0] < 1 / 2),
        int(enemy[1] < 1 / 3),
        int(enemy[2]),
        int(diver[0] < 1 / 2),
        int(diver[1]),
    ]


def space_invaders_draws(calls: list[float]) -> list[int]:
    """There are none."""
    if calls:
        raise ValueError(f"Space Invaders drew {calls}, and should draw nothing.")
    return []


def seaquest_worth(env: Any, haste: float) -> float:
    """What of a state is worth reaching beyond its reward: air, divers, and getting to them."""
    if env.divers and env.diver_count < 6:
        diver = min(env.divers, key=lambda d: abs(d[0] - env.sub_x) + abs(d[1] - env.sub_y))
        distance = abs(diver[0] - env.sub_x) + abs(diver[1] - env.sub_y)
    else:
        distance = 5
    urge = env.sub_y * (0.3 if env.oxygen < 60 or env.diver_count >= 6 else 0.0)
    return env.oxygen / 50 + env.diver_count + haste * env.ramp_index - 0.1 * distance - urge


def space_invaders_worth(env: Any, haste: float) -> float:
    """Quick waves."""
    return haste * env.ramp_index


DRAWS: dict[str, Callable] = {"space_invaders": space_invaders_draws, "seaquest": seaquest_draws}
WORTH: dict[str, Callable] = {"space_invaders": space_invaders_worth, "seaquest": seaquest_worth}


def planned_action(env: Any, game: str, rng: np.random.Generator, episode: Episode) -> int:
    """Return the first action of the best of some random plans, foreseeing all chance."""
    actions = ACTIONS[game] if episode.fires else ACTIONS[game][:-1]
    best, best_worth = int(rng.choice(actions)), -np.inf
    for _ in range(episode.plans):
        future, worth = copy.deepcopy(env), 0.0
        plan = rng.choice(actions, episode.length)
        plan = np.repeat(plan, rng.integers(1, 4, episode.length))[: episode.length]
        for action in plan:
            reward, terminal = future.act(action)
            worth += float(reward) - 100 * terminal
            if terminal:
                break
        worth += WORTH[game](future, episode.haste)
        if worth > best_worth:
            best, best_worth = int(plan[0]), worth
    return best


def record(game: str, seed: int) -> dict[str, np.ndarray]:
    """Play all episodes of a game."""
    rng, rows = np.random.default_rng(seed), []
    module = importlib.import_module(f"minatar.environments.{game}")
    for number, episode in enumerate(EPISODES[game]):
        env = module.Env(ramping=episode.ramping)
        env.random = RecordingRandom(seed + number)
        start = env.state()
        for _ in range(MAX_STEPS):
            action = planned_action(env, game, rng, episode)
            env.random.calls.clear()
            reward, terminal = env.act(action)
            draws = DRAWS[game](env.random.calls)
            now = (number, episode.ramping, action, draws, env.state(), int(reward), terminal)
            rows.append(now)
            if terminal:
                break
        print(f"{game}, episode {number}: {len(rows)} steps so far, ramp {env.ramp_index}")
    episodes, ramping, action, draws, observation, reward, terminal = zip(*rows, strict=True)
    return {
        "episode": np.array(episodes, np.uint8),
        "difficulty_ramping": np.array(ramping, bool),
        "action": np.array(action, np.uint8),
        "draws": np.array(draws, np.uint8),
        "observation": np.packbits(np.stack(observation).reshape(len(rows), -1), axis=1),
        "start_observation": start,
        "reward": np.array(reward, np.int8),
        "terminated": np.array(terminal, bool),
    }


def main() -> None:
    """Write a file for each game."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for game in GAMES:
        path = arguments.folder / f"minatar_{game}.npz"
        np.savez_compressed(path, **record(game, arguments.seed))  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    main()
