"""Space Invaders and Seaquest against recorded games of the original, draws injected."""

import functools
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from jax import lax

from rewardtogo.envs.minatar.base import DOWN, NOOP, UP, MinAtar
from rewardtogo.envs.minatar.seaquest import Seaquest
from rewardtogo.envs.minatar.seaquest_rules import SeaquestDraws
from rewardtogo.envs.minatar.space_invaders import SpaceInvaders
from rewardtogo.envs.registry import make


DATA = pathlib.Path(__file__).parent / "data"
NAMES = ("MinAtar/SpaceInvaders-v1", "MinAtar/Seaquest-v1")
LENGTH = 4096  # of every replay, so that a game is compiled once


def seaquest_draws(row):
    right, submarine, diver_right = row[0] == 1, row[1] == 1, row[3] == 1
    return SeaquestDraws(right, submarine, row[2], diver_right, row[4])


def no_draws(row):
    return ()


GAMES = {"space_invaders": (SpaceInvaders, no_draws), "seaquest": (Seaquest, seaquest_draws)}


def recorded(name):
    with np.load(DATA / f"minatar_{name}.npz") as file:
        return {key: file[key] for key in file}


@functools.partial(jax.jit, static_argnums=(0, 1))
def compiled_replay(game, draws_of, action, draws, last):
    def step(state, row):
        action, draws, last = row
        successor, reward, terminal = game.advance(state, action, draws_of(draws))
        fresh = game.start(())
        following = jax.tree.map(lambda a, b: jnp.where(last, a, b), fresh, successor)
        return following, (game.observe(successor), reward, terminal)

    return lax.scan(step, game.start(()), (action, draws, last))[1]


def replay(name, action, draws, last, *, ramping=True):
    """Play the given actions with the given draws, and start again after every `last`."""
    game_type, draws_of = GAMES[name]
    rows = [np.asarray(action, np.int32), np.asarray(draws, np.int32), last]
    padded = [np.resize(row, (LENGTH, *row.shape[1:])) for row in rows]
    played = compiled_replay(game_type(difficulty_ramping=ramping), draws_of, *padded)
    return [np.asarray(array)[: len(action)] for array in played]


@pytest.mark.parametrize("ramping", [True, False])
@pytest.mark.parametrize("name", GAMES)
def test_reproduces_the_original_step_by_step(name, ramping):
    record = recorded(name)
    start = record.pop("start_observation")
    record = {key: value[record["difficulty_ramping"] == ramping] for key, value in record.items()}
    last = np.diff(record["episode"], append=255) != 0
    board, reward, terminated = replay(
        name, record["action"], record["draws"], last, ramping=ramping
    )
    expected = np.unpackbits(record["observation"], axis=1, count=start.size).astype(bool)
    wrong = np.any(board.reshape(expected.shape) != expected, axis=1)
    wrong |= (reward != record["reward"]) | (terminated != record["terminated"])
    assert not np.any(wrong), f"first at step {np.argmax(wrong)}"
    game = GAMES[name][0]()
    assert np.array_equal(game.observe(game.start(())), start)


@pytest.mark.parametrize("name", GAMES)
def test_the_recording_covers_the_game(name):
    record = recorded(name)
    channels = record["start_observation"].shape[-1]
    board = np.unpackbits(record["observation"], axis=1, count=100 * channels)
    assert len(record["action"]) >= 2000
    assert np.all(board.reshape(-1, channels).any(axis=0)), "an unseen channel"
    assert record["terminated"].sum() >= 5
    assert set(record["difficulty_ramping"]) == {True, False}
    # Six divers brought home with air left; Space Invaders has no other worth than 1.
    assert (record["reward"].max() > 5) == (name == "seaquest")


def test_seaquest_draws_like_the_original():
    """Two sides, one submarine in three, eight rows; and no two come from one number."""
    draw = jax.jit(jax.vmap(lambda key: Seaquest().draw(Seaquest().start(()), key)))
    draws = draw(jr.split(jr.key(0), 8000))
    fields = [np.asarray(leaf, int) for leaf in jax.tree.leaves(draws)]
    right, submarine, row, diver_right, diver_row = fields
    for event, probability in ((right, 1 / 2), (submarine, 1 / 3), (diver_right, 1 / 2)):
        assert scipy.stats.binomtest(int(event.sum()), event.size, probability).pvalue > 1e-3
    for rows in (row, diver_row):
        counts = np.bincount(rows, minlength=9)[1:9]
        assert counts.sum() == rows.size and scipy.stats.chisquare(counts).pvalue > 1e-3
    assert np.abs(np.corrcoef(fields) - np.eye(5)).max() < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_many_run_like_one(name, key):
    """A batch of environments takes the steps that one of them takes alone."""
    env = make(name)
    assert isinstance(env, MinAtar)

    def rollout(key, actions):
        state, observation = env.reset(key)
        return observation, lax.scan(env.step, state, actions)[1]

    reset_key, action_key = jr.split(key)
    keys = jr.split(reset_key, 3)
    actions = jr.randint(action_key, (3, 60), 0, len(env.game.actions))
    many = jax.jit(jax.vmap(rollout))(keys, actions)
    alone = jax.jit(rollout)(keys[1], actions[1])
    assert eqx.tree_equal(alone, jax.tree.map(lambda leaf: leaf[1], many))
    assert env.observation_space.contains(np.asarray(alone[0]))
    assert alone[1].reward.dtype == np.float32 and not np.any(alone[1].truncated)


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_can_carry_the_state_under_64_bits(name, x64):
    env = make(name)
    state, _ = jax.eval_shape(env.reset, jr.key(0))
    after, _ = jax.eval_shape(env.step, state, jnp.int32(1))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (new.shape, new.dtype, new.weak_type) == (old.shape, old.dtype, False)


def test_arguments_reach_the_game():
    for name, game_type in zip(NAMES, (SpaceInvaders, Seaquest), strict=True):
        env = make(name, {"difficulty_ramping": False, "sticky_action_prob": 0.5})
        assert isinstance(env, MinAtar) and env.sticky_action_prob == 0.5
        assert env.game == game_type(difficulty_ramping=False)


def terminations(name, actions, draws=()):
    """The steps after which the game was over."""
    rows = np.tile(np.asarray(draws, int), (len(actions), 1))
    terminated = replay(name, actions, rows, np.zeros(len(actions), bool))[2]
    return np.flatnonzero(terminated).tolist()


def test_space_invaders_ends_under_fire():
    """An idle cannon in its starting column is hit by a bullet: it stands below the aliens.

    The first shot falls in the eleventh step from row 3 and is in row 9 six steps later.
    """
    assert terminations("space_invaders", [NOOP] * 17) == [16]


def test_seaquest_ends_without_air():
    """In row 8, with all enemies and divers in row 1, the air lasts for 200 steps."""
    enemies_and_divers = [1, 0, 1, 1, 1]
    assert terminations("seaquest", [DOWN] * 201, enemies_and_divers) == [200]


def test_seaquest_ends_at_the_surface_without_divers():
    assert terminations("seaquest", [UP, UP, DOWN, UP], [1, 0, 8, 1, 8]) == [3]
