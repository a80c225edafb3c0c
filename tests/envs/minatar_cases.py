"""Episodes of the original MinAtar games, which `experiments/minatar_reference.py` recorded."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rewardtogo.envs.minatar.asterix import Asterix, AsterixDraws
from rewardtogo.envs.minatar.base import SIZE, AbstractMinAtarGame
from rewardtogo.envs.minatar.breakout import Breakout
from rewardtogo.envs.minatar.freeway import Freeway


FOLDER = Path(__file__).resolve().parent / "data"


class Case(NamedTuple):
    """A game, and how it reads the fixture's whole numbers as draws."""

    game: AbstractMinAtarGame
    start_draws: Callable[[Any], Any]
    draws: Callable[[Any], Any]


def _nothing(numbers: Any) -> tuple[()]:
    return ()


def _entry(numbers: Any) -> AsterixDraws:
    return AsterixDraws(numbers[0] == 1, numbers[1] == 1, numbers[2])


CASES = {
    "breakout": Case(Breakout(), lambda numbers: numbers[0] == 1, _nothing),
    "asterix": Case(Asterix(), _nothing, _entry),
    "asterix_flat": Case(Asterix(difficulty_ramping=False), _nothing, _entry),
    "freeway": Case(Freeway(), lambda numbers: numbers, lambda numbers: numbers),
}


class Reference(NamedTuple):
    """Time first, except in the two fields that have one row an episode; an observation is true."""

    start_draws: np.ndarray
    start_observation: np.ndarray
    episode: np.ndarray
    action: np.ndarray
    draws: np.ndarray
    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


def unpacked(bits: np.ndarray, channels: int) -> np.ndarray:
    """Rows of bytes as boards."""
    shape = (SIZE, SIZE, channels)
    return np.unpackbits(bits, axis=-1, count=np.prod(shape)).astype(bool).reshape(-1, *shape)


@functools.cache
def reference(name: str) -> Reference:
    """Read a fixture."""
    channels = len(CASES[name].game.channels)
    with np.load(FOLDER / f"minatar_{name}.npz", allow_pickle=False) as stored:
        found = Reference(*(stored[field] for field in Reference._fields))
    boards = {
        field: unpacked(getattr(found, field), channels)
        for field in ("observation", "start_observation")
    }
    return found._replace(**boards)


class Replay(NamedTuple):
    """What our game makes of a fixture's actions and draws; time first."""

    start_observation: np.ndarray
    state: Any  # after each step
    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray


@functools.cache
def replay(name: str) -> Replay:
    """Play a fixture's episodes in one compiled program."""
    case, given = CASES[name], reference(name)
    game = case.game
    first = np.diff(given.episode, prepend=-1) == 1

    def play(start_draws, episode, first, action, draws):
        def advance(state, now):
            episode, first, action, draws = now
            start = game.start(case.start_draws(start_draws[episode]))
            state = jax.tree.map(lambda new, old: jnp.where(first, new, old), start, state)
            shown = game.observe(state)
            state, reward, terminated = game.advance(state, action, case.draws(draws))
            return state, (shown, state, game.observe(state), reward, terminated)

        start = game.start(case.start_draws(start_draws[0]))
        return jax.lax.scan(advance, start, (episode, first, action, draws))[1]

    whole = (given.episode, first, given.action, given.draws)
    arrays = (jnp.asarray(array) for array in whole)
    numbers = jnp.asarray(given.start_draws, jnp.int32)
    shown, *after = jax.tree.map(np.asarray, jax.jit(play)(numbers, *arrays))
    return Replay(shown[first], *after)
