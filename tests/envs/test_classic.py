"""Classic control is held against Gymnasium's own environments, step by step."""

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from classic_cases import CASES, episodes, single_steps

from rewardtogo.envs.classic.base import AbstractClassicControl
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.classic.pendulum import Pendulum
from rewardtogo.envs.registry import make
from rewardtogo.envs.wrappers import TimeLimit, TimeLimitState


ARGUMENTS = [
    *((name, ()) for name in CASES),
    ("CartPole-v1", (("sutton_barto_reward", True),)),
    ("MountainCar-v0", (("goal_velocity", 0.03),)),
    ("MountainCarContinuous-v0", (("goal_velocity", 0.03),)),
    ("Pendulum-v1", (("g", 3),)),
]
FLOAT32_ROUNDING = 2.0**-24  # relative, of a number rounded to the nearest


def inner(name, dtype, args=()):
    limited = make(name, {"dtype": dtype, **dict(args)})
    assert isinstance(limited, TimeLimit) and isinstance(limited.env, AbstractClassicControl)
    return limited.env


def close(ours, theirs, *, rounded=False, atol=1e-9):
    bound = atol + rounded * FLOAT32_ROUNDING * np.abs(theirs)
    difference = np.abs(np.asarray(ours, float) - theirs)
    assert np.all(difference <= bound), (difference - bound).max()


def each_step(env, record):
    """Our step from each of Gymnasium's states, in one program."""

    def one(vector, action):
        state, step = env.step(env.state_from_vector(vector), action)
        return env.state_vector(state), step

    action = jnp.asarray(record.action)
    if jnp.issubdtype(action.dtype, jnp.floating):
        action = action.astype(env.dtype)
    return jax.jit(jax.vmap(one))(jnp.asarray(record.state, env.dtype), action)


@pytest.mark.parametrize(("name", "args"), ARGUMENTS, ids=str)
def test_step_is_gymnasiums(name, args, x64):
    """In float64, from thousands of states that cover every border, and for every argument."""
    record = single_steps(name, args)
    states, step = each_step(inner(name, "float64", args), record)
    close(states, record.next_state, rounded=CASES[name].rounded)
    close(step.observation, record.observation, rounded=True)
    close(step.reward, record.reward)
    assert np.array_equal(step.terminated, record.terminated)
    assert not step.truncated.any()
    assert name == "Pendulum-v1" or 0.01 < record.terminated.mean() < 0.99


@pytest.mark.parametrize("name", CASES)
def test_step_in_float32(name):
    """Rounding matters little, but next to a border it may decide."""
    record = single_steps(name)
    states, step = each_step(inner(name, "float32"), record)
    assert {states.dtype, step.observation.dtype, step.reward.dtype} == {jnp.dtype("float32")}
    close(step.observation, record.observation, atol=1e-3)
    agree = np.asarray(step.terminated) == record.terminated
    assert agree.mean() > 0.998
    close(np.asarray(step.reward)[agree], record.reward[agree], atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_whole_episodes_are_gymnasiums(name, x64):
    """From the same start, with the same actions, to the same end, `replay` steps at a time."""
    record, taken = episodes(name)
    env = make(name, {"dtype": "float64"})
    task = inner(name, "float64")

    def play(vectors, actions):
        def advance(carry, given):
            vector, time = carry
            theirs, action = given
            vector = jnp.where(time % CASES[name].replay == 0, theirs, vector)
            state = TimeLimitState(task.state_from_vector(vector), time)
            state, step = env.step(state, action)
            vector = task.state_vector(state.inner)
            return (vector, state.time), (vector, step)

        start = (vectors[0], jnp.zeros((), jnp.int32))
        return jax.lax.scan(advance, start, (vectors, actions))[1]

    states, step = jax.jit(jax.vmap(play))(record.state, record.action)
    # Gymnasium rounds the continuous car to float32 at every step; chaos amplifies the rest.
    atol = 1e-5 if CASES[name].rounded else 1e-9
    close(states[taken], record.next_state[taken], atol=atol)
    close(step.reward[taken], record.reward[taken], atol=atol)
    assert np.array_equal(step.terminated[taken], record.terminated[taken])
    assert np.array_equal(step.truncated[taken], record.truncated[taken])
    assert record.truncated[taken].any()
    assert name == "Pendulum-v1" or record.terminated[taken].any()


@pytest.mark.parametrize("name", CASES)
def test_spaces_are_gymnasiums(name):
    env, theirs = make(name), gym.make(name)
    assert env.observation_space == theirs.observation_space
    assert env.observation_space.dtype == theirs.observation_space.dtype
    assert env.action_space == theirs.action_space
    assert env.action_space.dtype == theirs.action_space.dtype


@pytest.mark.parametrize("name", CASES)
def test_reset_draws_gymnasiums_start(name, x64):
    """Every component is uniform in its bounds, and no two come from one number."""
    env, case = inner(name, "float64"), CASES[name]
    states, observations = jax.vmap(env.reset)(jr.split(jr.key(7), 2000))
    vectors = np.asarray(jax.vmap(env.state_vector)(states))
    low, high = np.array(case.start_low), np.array(case.start_high)
    assert np.all((low <= vectors) & (vectors <= high))
    moving = low < high
    for column, start, width in zip(
        vectors.T[moving], low[moving], (high - low)[moving], strict=True
    ):
        assert scipy.stats.kstest(column, "uniform", (start, width)).pvalue > 1e-3
    correlation = np.atleast_2d(np.corrcoef(vectors.T[moving]))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.1
    close(observations, np.stack(case.observe(vectors.T), axis=-1))
    assert env.observation_space.contains(np.asarray(observations[0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_dtype_is_kept_and_a_scan_can_carry_the_state(name, dtype, x64):
    """Also where 64-bit arrays are on, whatever the action's dtype."""
    env = make(name, {"dtype": dtype})
    state, observation = jax.eval_shape(env.reset, jr.key(0))
    action = jnp.asarray(env.action_space.sample())
    after, step = jax.eval_shape(env.step, state, action)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (new.shape, new.dtype, new.weak_type) == (old.shape, old.dtype, False)
        assert old.dtype in (jnp.dtype(dtype), jnp.dtype("int32"))
    assert observation.dtype == step.observation.dtype == step.reward.dtype == jnp.dtype(dtype)
    assert observation.shape == step.observation.shape == env.observation_space.shape


@pytest.mark.parametrize("name", CASES)
def test_state_vector_and_back(name):
    env, case = inner(name, "float32"), CASES[name]
    vector = jnp.asarray(np.random.default_rng(0).uniform(case.low, case.high), jnp.float32)
    assert jnp.array_equal(env.state_vector(env.state_from_vector(vector)), vector)


def test_gravity_can_be_swept():
    """One program over three values gives what three environments give."""
    gravities = jnp.array([0.0, 5.0, 10.0])
    vector, action = jnp.array([1.0, 0.0]), jnp.array([0.5])

    def velocity(g):
        env = Pendulum(g=g)
        return env.step(env.state_from_vector(vector), action)[0].angular_velocity

    # One Euler step from rest: 0.05 s of 3g/2 sin θ + 3u.
    expected = 0.05 * (1.5 * gravities * jnp.sin(1.0) + 1.5)
    assert jnp.allclose(eqx.filter_vmap(velocity)(gravities), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [None, "int32", "double-ish", jnp.bfloat16])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="float32 or float64"):
        CartPole(dtype=dtype)


def test_float64_needs_64_bit_arrays():
    with pytest.raises(ValueError, match="64-bit arrays are off"):
        CartPole(dtype=jnp.float64).reset(jr.key(0))
