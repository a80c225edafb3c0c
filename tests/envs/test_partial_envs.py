"""A maze and a cart-pole that need a memory: exactly what they are, and that they do need it."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.envs.check import check
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.partial.cart_pole import CartPolePositions
from rewardtogo.envs.partial.t_maze import EAST, NORTH, SOUTH, WEST, TMaze, TMazeState
from rewardtogo.envs.registry import jax_environments, make
from rewardtogo.envs.wrappers import TimeLimit


NAMES = ("CartPolePositions-v1", "TMaze-v0")
SIGNS = ([1, 1, 0], [0, 1, 1])  # south, north


@pytest.mark.parametrize("name", NAMES)
def test_they_are_known_and_nothing_is_wrong_with_them(name):
    assert name in jax_environments()
    assert check(name) == []


def test_positions_are_those_of_the_full_task(x64):
    """Step by step, from the same states, through falls and with either reward."""
    for reward in (False, True):
        full = CartPole(reward, "float64")
        partial = CartPolePositions(full)
        rng = np.random.default_rng(0)
        bound = np.array([2.5, 3.0, 0.25, 3.0])
        vectors, actions = rng.uniform(-bound, bound, (500, 4)), rng.integers(2, size=500)

        def both(vector, action, full=full, partial=partial):
            state = full.state_from_vector(vector)
            return full.step(state, action), partial.step(state, action)

        one, other = jax.vmap(both)(jnp.asarray(vectors), jnp.asarray(actions))
        assert jax.tree.all(jax.tree.map(np.array_equal, one[0], other[0]))
        assert np.array_equal(other[1].observation, one[1].observation[:, [0, 2]])
        for part in ("reward", "terminated", "truncated"):
            assert np.array_equal(getattr(one[1], part), getattr(other[1], part))
        assert 0.1 < one[1].terminated.mean() < 0.9


def test_positions_begin_as_the_full_task_does():
    env = make("CartPolePositions-v1")
    assert isinstance(env, TimeLimit) and env.max_steps == 500
    state, seen = env.reset(jr.key(2))
    full_state, full = CartPole().reset(jr.key(2))
    assert jax.tree.all(jax.tree.map(np.array_equal, state.inner, full_state))
    assert np.array_equal(seen, full[jnp.array([0, 2])])
    full_space: Any = CartPole().observation_space
    space: Any = env.observation_space
    assert space.shape == (2,) and np.array_equal(space.high, full_space.high[[0, 2]])


@functools.cache
def tables(length):
    """Successor place, reward and end of each goal, place and action, by the environment itself."""
    env = TMaze(length, "float64")

    def one(goal, place, action):
        after, step = env.step(TMazeState(place, goal), action)
        return after.position, step.reward, step.terminated, step.observation

    grid = jnp.meshgrid(
        jnp.array([False, True]), jnp.arange(length + 1), jnp.arange(4), indexing="ij"
    )
    return tuple(np.asarray(x) for x in jax.vmap(jax.vmap(jax.vmap(one)))(*grid))


def test_the_maze_is_bakkers(x64):
    length = 5
    place, reward, ended, seen = tables(length)
    for goal, at, action in np.ndindex(2, length + 1, 4):
        row = (goal, at, action)
        along = {EAST: min(at + 1, length), WEST: max(at - 1, 0)}.get(action, at)
        assert place[row] == along
        turned = at == length and action in (NORTH, SOUTH)
        assert ended[row] == turned
        found = turned and (action == NORTH) == bool(goal)
        assert reward[row] == (4 if found else -0.1 if along == at else 0)
        expected = SIGNS[goal] if along == 0 else [0, 1, 0] if along == length else [1, 0, 1]
        assert seen[row].tolist() == expected


def test_each_goal_is_as_likely_as_the_other():
    env = make("TMaze-v0")
    states, seen = jax.vmap(env.reset)(jr.split(jr.key(0), 2000))
    north = np.asarray(states.inner.goal_is_north)
    assert abs(north.mean() - 0.5) < 4 * 0.5 / 2000**0.5
    assert np.array_equal(seen, np.array(SIGNS)[north.astype(int)])


def solved(policy, length, limit):
    """The probability of the right turn within the limit, by the exact law of place and goal.

    `policy[seen, action]`, with what is seen in the order sign south, sign north, corridor,
    junction.
    """
    place, _, ended, _ = tables(length)
    total = 0.0
    for goal in range(2):
        seen = np.array([goal, *[2] * (length - 1), 3])
        law = np.eye(length + 1)[0]
        for _ in range(limit):
            flow = law[:, None] * policy[seen]
            total += 0.5 * flow[length, NORTH if goal else SOUTH]
            law = np.zeros(length + 1)
            np.add.at(law, place[goal][~ended[goal]], flow[~ended[goal]])
    return total


def test_without_a_memory_half_of_the_turns_are_right_at_the_most(x64):
    """Every deterministic policy, and many random ones; the best of them turn always."""
    length, limit = 3, 30
    rows = np.eye(4)
    best = [
        solved(rows[list(choice)], length, limit)
        for choice in itertools.product(range(4), repeat=4)
    ]
    assert max(best) == 0.5 and len(best) == 256
    rng = np.random.default_rng(0)
    drawn = rng.dirichlet(np.full(4, 0.3), size=(200, 4))
    found = [solved(policy, length, limit) for policy in drawn]
    assert 0.2 < max(found) <= 0.5


@pytest.mark.parametrize("length", [1, 4, 20])
def test_one_bit_of_memory_is_enough(length):
    """Remember the sign, go east, turn: the best return there is, in the fewest steps."""
    env = make("TMaze-v0", {"length": length})
    assert isinstance(env, TimeLimit) and env.max_steps == 10 * length
    for seed in range(6):
        state, seen = env.reset(jr.key(seed))
        bit, total = bool(seen[2] == 1), 0.0
        for time in range(length + 1):
            junction = np.array_equal(seen, [0, 1, 0])
            action = (NORTH if bit else SOUTH) if junction else EAST
            state, step = env.step(state, jnp.array(action))
            seen, total = step.observation, total + float(step.reward)
            assert bool(step.terminated) == (time == length)
            assert not step.truncated
        assert total == 4.0


def test_the_other_turn_is_wrong():
    env = TMaze(1)
    state, _ = env.reset(jr.key(0))
    state, _ = env.step(state, jnp.array(EAST))
    wrong = SOUTH if state.goal_is_north else NORTH
    _, step = env.step(state, jnp.array(wrong))
    assert step.terminated and np.isclose(step.reward, -0.1)
    back, step = env.step(state, jnp.array(WEST))
    assert not step.terminated and back.position == 0 and step.reward == 0


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_that_cannot_be(length):
    with pytest.raises(ValueError, match="length must be a whole number of at least 1"):
        make("TMaze-v0", {"length": length})
