"""MinAtar is held against the original's games, with the original's random draws."""

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from minatar_cases import CASES, reference, replay

from rewardtogo.envs.minatar.asterix import Asterix, asterix
from rewardtogo.envs.minatar.base import (
    DOWN,
    LEFT,
    NOOP,
    RIGHT,
    UP,
    MinAtar,
    on_board,
    on_cell,
    one_a_row,
)
from rewardtogo.envs.minatar.breakout import breakout
from rewardtogo.envs.minatar.freeway import Freeway, freeway
from rewardtogo.envs.registry import is_jax_environment, make


# The original's minimal action sets, and the channels of its observations.
GAMES = {
    "MinAtar/Breakout-v1": (breakout, (NOOP, LEFT, RIGHT), 4),
    "MinAtar/Asterix-v1": (asterix, (NOOP, LEFT, UP, RIGHT, DOWN), 4),
    "MinAtar/Freeway-v1": (freeway, (NOOP, UP, DOWN), 7),
}


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_the_originals(name):
    given, ours = reference(name), replay(name)
    assert len(given.action) >= (800 if name == "asterix_flat" else 2000)
    for field in ("start_observation", "observation", "reward", "terminated"):
        assert np.array_equal(getattr(ours, field), getattr(given, field)), field
    assert ours.observation.dtype == bool
    # Each episode is whole: it ends in its last step, and there only.
    last = np.diff(given.episode, append=given.episode[-1] + 1) == 1
    assert np.array_equal(ours.terminated, last)


def test_the_records_reach_what_is_rare():
    """A second wall of bricks, a board without a free row, the fastest pace, a hit."""
    bricks = replay("breakout").state.bricks.sum(axis=(1, 2))
    assert np.any((bricks[:-1] == 0) & (bricks[1:] == 30))
    state = replay("asterix").state
    assert state.present.all(axis=1).any()
    assert state.spawn_interval.min() == state.move_interval.min() == 1
    flat = replay("asterix_flat").state
    assert flat.spawn_interval.min() == 10 and flat.move_interval.min() == 5
    freeway_rows = replay("freeway").state.row
    assert (np.diff(freeway_rows) > 1).sum() > replay("freeway").reward.sum()  # hits besides


@pytest.mark.parametrize("name", GAMES)
def test_spaces_and_names(name):
    constructor, actions, channels = GAMES[name]
    env = make(name)
    assert is_jax_environment(name)
    assert isinstance(env, MinAtar) and env == constructor()
    assert env.game.actions == actions
    assert env.action_space == gym.spaces.Discrete(len(actions))
    assert env.observation_space.shape == (10, 10, channels)
    assert env.observation_space.dtype == bool
    assert len(env.game.channels) == channels
    _, observation = env.reset(jr.key(0))
    assert env.observation_space.contains(np.asarray(observation))


@pytest.mark.parametrize("name", GAMES)
def test_a_scan_can_carry_the_state(name, x64):
    """Also where 64-bit arrays are on, whatever the action's dtype."""
    env = make(name)
    state, observation = jax.eval_shape(env.reset, jr.key(0))
    for action in (jnp.int32(1), jnp.asarray(np.int64(1)), jnp.uint8(1)):
        after, step = jax.eval_shape(env.step, state, action)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
            assert (new.shape, new.dtype, new.weak_type) == (old.shape, old.dtype, False)
    assert observation.dtype == step.observation.dtype == jnp.dtype(bool)
    assert step.reward.dtype == jnp.dtype("float32")


@pytest.mark.parametrize("name", GAMES)
def test_vmap_changes_nothing(name):
    """A batch of trajectories is what each one is alone."""
    env = make(name)
    states, _ = jax.vmap(env.reset)(jr.split(jr.key(1), 3))
    actions = jr.randint(jr.key(2), (30, 3), 0, len(GAMES[name][1]))

    def play(state, actions):
        return jax.lax.scan(env.step, state, actions)[1]

    batch = jax.jit(jax.vmap(play, in_axes=(0, 1), out_axes=1))(states, actions)
    single = jax.tree.map(lambda leaf: leaf[1], states)
    alone = jax.jit(play)(single, actions[:, 1])
    for ours, theirs in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
        assert jnp.array_equal(ours[:, 1], theirs)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.25, 1])
def test_actions_stick_at_the_given_rate(probability):
    """At the start, where NOOP came last, and from step to step."""
    env = breakout(sticky_action_prob=probability)
    choices = jnp.array([LEFT, RIGHT] * 2000)  # actions 1 and 2

    def play(state, action):
        after, _ = env.step(state, action)
        return after, after.last_action

    @jax.jit
    def play_all(keys):
        starts, _ = jax.vmap(env.reset)(keys)
        first = jax.vmap(play, in_axes=(0, None))(starts, jnp.int32(2))[1]
        one = jax.tree.map(lambda leaf: leaf[0], starts)
        return first, jax.lax.scan(play, one, jnp.where(choices == LEFT, 1, 2))[1]

    first, played = map(np.asarray, play_all(jr.split(jr.key(3), 4000)))
    assert set(np.unique(first)) <= {NOOP, RIGHT}
    last = np.concatenate([[NOOP], played[:-1]])
    assert np.all((played == last) | (played == choices))
    for stuck in (first == NOOP, (played == last)[last != np.asarray(choices)]):
        assert len(stuck) > 1000
        assert scipy.stats.binomtest(int(stuck.sum()), len(stuck), probability).pvalue > 1e-3


def test_actions_stick_at_a_tenth_by_default():
    assert breakout().sticky_action_prob == asterix().sticky_action_prob == 0.1
    assert freeway().sticky_action_prob == 0.1


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(ValueError, match=r"sticky_action_prob must be in \[0, 1\]"):
        make("MinAtar/Breakout-v1", {"sticky_action_prob": probability})


def test_arguments_reach_the_game():
    env = make("MinAtar/Asterix-v1", {"difficulty_ramping": False, "sticky_action_prob": 0})
    assert isinstance(env, MinAtar) and env.game == Asterix(difficulty_ramping=False)
    assert env.sticky_action_prob == 0.0
    with pytest.raises(ValueError, match="its arguments: sticky_action_prob"):
        make("MinAtar/Breakout-v1", {"difficulty_ramping": True})


def uniform(numbers, values):
    """Whether `numbers` are uniform on `values`, and nothing else."""
    counts = np.array([(numbers == value).sum() for value in values])
    assert counts.sum() == numbers.size
    return scipy.stats.chisquare(counts).pvalue > 1e-3


def test_breakout_starts_on_either_side():
    _, observation = jax.vmap(breakout().reset)(jr.split(jr.key(4), 2000))
    row, column = np.nonzero(np.asarray(observation)[..., 1])[1:]
    assert np.all(row == 3) and uniform(column, [0, 9])


def test_asterix_draws_side_kind_and_free_row():
    """Each is right, and no two come from one number."""
    game = Asterix()
    present = jnp.array([True, False, False, True, False, True, True, True])
    state = eqx.tree_at(
        lambda s: (s.present, s.spawn_timer), game.start(()), (present, jnp.int32(0))
    )
    draws = jax.vmap(lambda key: game.draw(state, key))(jr.split(jr.key(5), 6000))
    side, gold, rank = map(np.asarray, draws)
    assert uniform(side, [False, True]) and uniform(rank, [0, 1, 2])
    assert scipy.stats.binomtest(int(gold.sum()), len(gold), 1 / 3).pvalue > 1e-3
    assert np.abs(np.corrcoef([side, gold, rank]) - np.eye(3)).max() < 0.05
    after, _, _ = jax.vmap(lambda draw: game.advance(state, jnp.int32(NOOP), draw))(draws)
    entered = np.asarray(after.present) & ~np.asarray(present)[None]
    assert np.array_equal(entered.argmax(axis=1), np.array([1, 2, 4])[rank])
    assert np.all(entered.sum(axis=1) == 1)


def test_freeway_draws_ten_speeds():
    draws = jax.vmap(lambda key: Freeway().draw_start(key))(jr.split(jr.key(6), 2000))
    speeds = np.asarray(draws)
    assert all(uniform(lane, [*range(-5, 0), *range(1, 6)]) for lane in speeds.T)
    assert np.abs(np.corrcoef(speeds.T) - np.eye(8)).max() < 0.1


def test_freeway_ends_by_itself_and_nothing_is_truncated():
    """2500 frames go by, and the game is over with the next."""
    env = freeway()
    state, _ = env.reset(jr.key(0))
    _, step = jax.jit(lambda s: jax.lax.scan(env.step, s, jnp.ones(2501, jnp.int32)))(state)
    assert np.flatnonzero(step.terminated).tolist() == [2500]
    assert not step.truncated.any()


def test_marks():
    """Absent things and things off the board mark nothing."""
    row, column = jnp.array([0, 9, 4, 5, 5]), jnp.array([3, 9, 10, -1, 5])
    present = jnp.array([True, True, True, True, False])
    assert np.argwhere(on_board(row, column, present)).tolist() == [[0, 3], [9, 9]]
    assert np.argwhere(on_cell(jnp.int32(4), 7)).tolist() == [[4, 7]]
    assert not on_cell(4, 10).any()
    marks = one_a_row(jnp.full((10, 2), -1).at[3, 1].set(6))
    assert np.argwhere(marks).tolist() == [[3, 6, 1]]
