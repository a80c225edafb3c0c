"""What of the past an observation holds: against Gymnasium's wrapper, and by hand."""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import own_images  # noqa: F401
from own_images import Spot
from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.envs.check import check
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.classic.pendulum import Pendulum
from rewardtogo.envs.factory import make_host
from rewardtogo.envs.history import History, WithHistory
from rewardtogo.envs.host import InProcess
from rewardtogo.envs.registry import make
from rewardtogo.envs.tabular import exact_optimum
from rewardtogo.envs.workers import Workers
from rewardtogo.envs.wrappers import TimeLimit


STEPS = 6


class Recorded(gym.Env):
    """A recorded episode, played back whatever is done."""

    def __init__(self, observation, spaces):
        self.observation_space, self.action_space = spaces
        self.observation, self.time = np.asarray(observation), 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.observation[0], {}

    def step(self, action):
        self.time += 1
        return self.observation[self.time], 0.0, False, False, {}


def episode(env, actions):
    """All observations of an episode, with those of the environment inside."""
    state, first = env.reset(jr.key(3))
    _, steps = jax.lax.scan(lambda state, action: env.step(state, action), state, actions)
    return np.concatenate([np.asarray(first)[None], np.asarray(steps.observation)])


def actions_of(env):
    env.action_space.seed(0)
    return jnp.asarray(np.stack([env.action_space.sample() for _ in range(STEPS)]))


@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.parametrize("env", [CartPole(), Spot()], ids=["vectors", "images"])
def test_stacks_are_gymnasiums(env, number):
    """`FrameStackObservation` puts observations on an axis of their own, the oldest first."""
    actions, history = actions_of(env), History(stack=number)
    plain = Recorded(episode(env, actions), (env.observation_space, env.action_space))
    theirs = gym.wrappers.FrameStackObservation(plain, number)
    rows = [theirs.reset()[0], *(theirs.step(0)[0] for _ in range(STEPS))]
    expected = np.stack([np.concatenate(list(row), axis=-1) for row in rows])
    ours = history.around(env)
    found = episode(ours, actions)
    assert np.array_equal(found, expected)
    assert found.dtype == env.observation_space.dtype == ours.observation_space.dtype
    host = history.around_gym(plain)
    rows = [host.reset()[0], *(host.step(0)[0] for _ in range(STEPS))]
    assert np.array_equal(np.stack(rows), expected)
    assert host.observation_space == ours.observation_space
    assert host.observation_space.shape == expected.shape[1:]


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "tabular:FrozenLake-v1"])
def test_past_actions_by_hand(name, number):
    """Each frame ends with the action before it: one-hot, or in the environment's own units."""
    env: Any = make(name)
    history = History(stack=number, past_action=True)
    actions = actions_of(env)
    plain = episode(env, actions)
    if isinstance(env.observation_space, gym.spaces.Discrete):
        plain = np.eye(int(env.observation_space.n))[plain]
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    flat = np.eye(int(env.action_space.n))[actions] if discrete else np.asarray(actions)
    frames = np.concatenate([plain, np.concatenate([0 * flat[:1], flat])], axis=1)
    earlier = lambda time, back: frames[max(time - back, 0)]
    expected = [
        np.concatenate([earlier(time, back) for back in reversed(range(number))])
        for time in range(STEPS + 1)
    ]
    ours = history.around(env)
    assert np.array_equal(episode(ours, actions), np.stack(expected).astype(np.float32))
    host = history.around_gym(
        Recorded(episode(env, actions), (env.observation_space, env.action_space))
    )
    rows = [host.reset()[0], *(host.step(np.asarray(a))[0] for a in actions)]
    assert np.array_equal(np.stack(rows), np.stack(expected).astype(np.float32))
    assert host.observation_space == ours.observation_space
    assert all(host.observation_space.contains(row) for row in rows)


@pytest.mark.parametrize("history", [History(stack=3), History(stack=2, past_action=True)], ids=str)
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_nothing_is_wrong_with_them(name, history):
    host = make_host(name, {}, history)()
    assert check(host) == []
    assert host.spec is not None and host.spec.max_episode_steps == gym.spec(name).max_episode_steps
    env = history.around(make(f"tabular:{name}" if name == "FrozenLake-v1" else name))
    assert isinstance(env, TimeLimit) and isinstance(env.env, WithHistory)
    assert check(env) == []
    assert env.observation_space == host.observation_space


def test_no_history_is_the_environment_itself():
    env, host = make("CartPole-v1"), gym.make("CartPole-v1")
    assert History().around(env) is env and History().around_gym(host) is host


def test_a_new_episode_knows_nothing_of_the_last():
    """In a pool: the true successor at a border, and the reset after it, each with its own past."""
    factory = make_host("own_environments:Walk-v0", {}, History(stack=3, past_action=True))
    pool = InProcess(factory, 1, run_seed=0)
    first = pool.reset()
    for _ in range(19):
        step = pool.step(np.array([1]))
    step = pool.step(np.array([0]))
    assert step.truncated.all()
    right, left = [0.0, 1.0], [1.0, 0.0]
    ending = [[18, 1.8, *right], [19, 1.9, *right], [18, 2.0, *left]]
    assert np.allclose(step.next_observation[0], np.concatenate(ending))
    assert np.array_equal(step.observation, first)
    assert np.array_equal(first[0], np.zeros(12))


def test_the_true_successor_of_a_truncated_step_has_its_past():
    env = TimeLimit(History(stack=2).around(CartPole()), 3)
    observations = episode(env, actions_of(env))
    assert np.array_equal(observations[3, :4], observations[2, 4:])


def test_workers_have_it_too():
    factory = make_host("own_environments:Walk-v0", {}, History(stack=2))
    pool = Workers(factory, 2, num_workers=1, run_seed=0)
    try:
        assert pool.reset().shape == (2, 4)
        step = pool.step(np.array([1, 0]))
        assert np.allclose(step.next_observation, [[0, 0, 1, 0.1], [0, 0, -1, 0.1]])
    finally:
        pool.close()


def test_continuous_actions_are_those_the_environment_was_given():
    """Clipped to the bounds and in the environment's units, where a policy acts in [−1, 1]."""
    from rewardtogo.sources.task import JaxTask, make_task

    task = make_task("Pendulum-v1", num_seeds=1, run_seed=0, history=History(past_action=True))
    assert isinstance(task, JaxTask) and task.max_steps == 200
    assert task.raw_action_space == Pendulum().action_space
    state, _ = task.env.reset(jr.key(0))
    for scaled, torque in [(0.25, 0.5), (-3.0, -2.0)]:
        _, step = task.env.step(state, jnp.array([scaled]))
        assert step.observation[-1] == torque


def test_zeros_are_within_bounds_that_exclude_them():
    spaces = (gym.spaces.Box(-1.0, 1.0, (1,)), gym.spaces.Box(2.0, 3.0, (1,)))
    env = History(past_action=True).around_gym(Recorded(np.zeros((2, 1), np.float32), spaces))
    assert env.observation_space.contains(env.reset()[0])


def test_the_exact_optimum_stays_known():
    env = make("tabular:FrozenLake-v1")
    assert exact_optimum(History(stack=2).around(env)) == exact_optimum(env) is not None


@pytest.mark.parametrize(
    ("history", "env", "words"),
    [
        ({"past_action": True}, Spot(), "`past_action` follows observations that are discrete or"),
        ({"stack": 2}, Recorded(0, (gym.spaces.Box(0, 1, ()),) * 2), "`stack` joins"),
    ],
    ids=["image", "no axis"],
)
def test_what_cannot_be_joined_is_refused(history, env, words):
    given: Any = History(**history)
    around = given.around_gym if isinstance(env, gym.Env) else given.around
    with pytest.raises(ValueError, match=words):
        around(env)


@pytest.mark.parametrize("stack", [0, -1])
def test_a_stack_that_cannot_be_is_refused(stack):
    with pytest.raises(ValueError, match="`stack` must be a whole number, at least 1"):
        History(stack=stack)
