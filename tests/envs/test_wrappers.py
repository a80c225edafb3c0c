import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.envs.classic.pendulum import Pendulum
from rewardtogo.envs.probes import Chain, ContinuousTarget
from rewardtogo.envs.wrappers import ScaledActions, TimeLimit, scale_action, scaled_action_space


INF = np.inf
MIXED = gym.spaces.Box(
    np.array([-2.0, 0.0, -INF, -INF, -3.0]), np.array([2.0, 10.0, INF, 5.0, INF]), dtype=np.float64
)


@pytest.mark.parametrize("max_steps", [1, 3, 4, 5])
def test_truncates_from_the_limit_on_whatever_else_ends(max_steps):
    """The corridor of five terminates at step 4; the limit is seen at and after its step."""
    env = TimeLimit(Chain(length=5), max_steps)
    state, _ = env.reset(jr.key(0))
    state, steps = jax.lax.scan(env.step, state, jnp.ones(6, jnp.int32))
    time = np.arange(1, 7)
    assert np.array_equal(steps.truncated, time >= max_steps)
    assert np.array_equal(steps.terminated, time >= 4)
    assert state.time == 6 and state.time.dtype == jnp.int32


def test_a_limit_within_a_limit_is_kept():
    env = TimeLimit(TimeLimit(Chain(), 2), 3)
    state, _ = env.reset(jr.key(0))
    _, steps = jax.lax.scan(env.step, state, jnp.zeros(3, jnp.int32))
    assert steps.truncated.tolist() == [False, True, True]


@pytest.mark.parametrize("max_steps", [0, -1])
def test_limits_below_one_are_refused(max_steps):
    with pytest.raises(ValueError, match="max_steps must be"):
        TimeLimit(Chain(), max_steps)


def test_time_limit_shows_the_spaces_inside():
    env = TimeLimit(Pendulum(), 5)
    assert env.observation_space == Pendulum().observation_space
    assert env.action_space == Pendulum().action_space


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_scale_action_is_gymnasiums_rescaling(convert, x64):
    """Against `RescaleAction`, over single actions and batches, inside and beyond the bounds."""
    space = gym.spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64)
    actions = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    seen = []

    class Inner(gym.Env):
        action_space = space

        def step(self, action):
            seen.append(action)
            return 0, 0.0, False, False, {}

    theirs = gym.wrappers.RescaleAction(Inner(), np.float64(-1.0), np.float64(1.0))
    for action in actions:
        theirs.step(action)
    ours = scale_action(space, convert(actions))
    assert isinstance(ours, type(convert(actions)))
    assert np.allclose(ours, seen, rtol=0, atol=1e-12)
    assert np.array_equal(scale_action(space, convert(actions[0])), ours[0])
    clipped = scale_action(space, convert(np.array([[-7.0, -1.0], [7.0, 1.0]])))
    assert np.array_equal(clipped, [[-2.0, 0.0], [2.0, 10.0]])


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_dimensions_without_two_bounds_pass(convert, x64):
    action = np.array([0.5, 0.5, 7.0, -9.0, 20.0])
    scaled = scale_action(MIXED, convert(action))
    assert np.array_equal(scaled, [1.0, 7.5, 7.0, -9.0, 20.0])
    space = scaled_action_space(MIXED)
    assert np.array_equal(space.low, [-1.0, -1.0, -INF, -INF, -3.0])
    assert np.array_equal(space.high, [1.0, 1.0, INF, 5.0, INF])
    assert space.dtype == MIXED.dtype


def test_gradients_are_finite_where_bounds_are_not(x64):
    gradient = jax.jacobian(lambda action: scale_action(MIXED, action))(jnp.full(5, 0.3))
    assert np.array_equal(np.diag(gradient), [2.0, 5.0, 1.0, 1.0, 1.0])


def test_scaled_float32_actions_stay_in_the_space():
    """Centre and radius round; the bounds must not be passed by that."""
    rng = np.random.default_rng(0)
    low = rng.uniform(-1, 0, 1000).astype(np.float32)
    space = gym.spaces.Box(low, low + rng.uniform(0, 1, 1000).astype(np.float32))
    for action in (np.ones(1000, np.float32), -np.ones(1000, np.float32)):
        assert scale_action(space, action).dtype == np.float32
        assert space.contains(scale_action(space, action))
    largest = np.finfo(np.float32).max
    unbounded = gym.spaces.Box(-largest, largest, (1,), np.float32)
    assert np.isfinite(scale_action(unbounded, np.ones(1, np.float32))).all()


def test_scaled_actions_steps_the_environment_inside():
    env, inside = ScaledActions(Pendulum()), Pendulum()
    assert env.action_space == gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert env.observation_space == inside.observation_space
    state, observation = env.reset(jr.key(1))
    assert jnp.array_equal(observation, inside.reset(jr.key(1))[1])
    for scaled, torque in [(0.25, 0.5), (-3.0, -2.0)]:
        step = env.step(state, jnp.array([scaled]))[1]
        expected = inside.step(state, jnp.array([torque]))[1]
        assert jnp.array_equal(step.observation, expected.observation)
        assert step.reward == expected.reward


def test_only_boxes_of_floats_can_be_scaled():
    with pytest.raises(ValueError, match=r"not the action space Discrete\(2\)"):
        ScaledActions(Chain())
    with pytest.raises(ValueError, match="only a Box of floats"):
        scale_action(gym.spaces.Box(0, 5, (1,), np.int64), np.zeros(1))
    space = ContinuousTarget().action_space
    with pytest.raises(ValueError, match="does not end in"):
        scale_action(space, np.zeros(2))
    with pytest.raises(ValueError, match="does not end in"):
        scale_action(space, np.zeros(()))
    with pytest.raises(ValueError, match="float dtype, not int"):
        scale_action(space, np.zeros(1, int))
