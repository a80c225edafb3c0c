"""Each faulty environment is a good one with one thing wrong, so one sentence must come back."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from host_helpers import Scripted
from jaxtyping import Array, PRNGKeyArray

from rewardtogo.envs.check import check
from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.envs.wrappers import TimeLimit


def bad(value):
    raise KeyError(value)


class Walk(gym.Env):
    """A random walk of 5 steps; `spoil` maps what `reset` or `step` returns to something wrong."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, space=None, spoil_reset=None, spoil_step=None):
        self.observation_space = space or gym.spaces.Box(-9.0, 9.0, (2,), np.float32)
        self.spoil_reset = spoil_reset or (lambda returned: returned)
        self.spoil_step = spoil_step or (lambda *returned: returned)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.spoil_reset((self.observe(), {}))

    def step(self, action):
        self.time += 1
        return self.spoil_step(self.observe(), 1.0, self.time == 5, False, {})

    def observe(self):
        if isinstance(self.observation_space, gym.spaces.Discrete):
            return 7
        return self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)


GOOD = ("CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "CliffWalking-v1")
UNSEEDED = np.random.default_rng(0)
FAULTY = {
    "reset raises": (Walk(spoil_reset=bad), "reset(seed=0) raised KeyError"),
    "reset alone": (
        Walk(spoil_reset=lambda pair: pair[0]),
        "reset returned a ndarray, but must return the tuple (observation, info).",
    ),
    "info": (Walk(spoil_reset=lambda pair: (pair[0], None)), "the info of reset is of type None"),
    "old step": (
        Walk(spoil_step=lambda o, r, te, tr, i: (o, r, te, i)),
        "step returned a tuple of 4, but must return the tuple (observation, reward, terminated",
    ),
    "step raises": (Walk(spoil_step=lambda *r: bad(3)), "step 1, action 1, raised KeyError: 3"),
    "list": (
        Walk(spoil_reset=lambda pair: (pair[0].tolist(), {})),
        "the observation of reset is of type list, but must be a NumPy array",
    ),
    "shape": (
        Walk(spoil_step=lambda o, *rest: (o[:1], *rest)),
        "the observation of step 1 has shape (1,), but the observation space says (2,).",
    ),
    "dtype": (
        Walk(spoil_step=lambda o, *rest: (o.astype(np.float64), *rest)),
        "has dtype float64, but the observation space says float32.",
    ),
    "outside": (
        Walk(spoil_step=lambda o, *rest: (o + np.asarray([0, 20], np.float32), *rest)),
        "the observation[1] of step 1 is",
    ),
    "NaN": (
        Walk(spoil_step=lambda o, *rest: (o * np.float32(np.nan), *rest)),
        "the observation[0] of step 1 is nan, but must be finite.",
    ),
    "beyond": (
        Walk(gym.spaces.Discrete(3, start=4)),
        "the observation of reset is 7, but must be in [4, 6].",
    ),
    "array reward": (
        Walk(spoil_step=lambda o, r, *rest: (o, np.ones(1), *rest)),
        "the reward of step 1 is array([1.]), but must be a float.",
    ),
    "endless reward": (
        Walk(spoil_step=lambda o, r, *rest: (o, np.inf, *rest)),
        "the reward of step 1 is inf, but must be finite.",
    ),
    "flag": (
        Walk(spoil_step=lambda o, r, te, tr, i: (o, r, te, None, i)),
        "`truncated` of step 1 is None, but must be a bool.",
    ),
    "own randomness": (
        Walk(spoil_step=lambda o, r, *rest: (o, UNSEEDED.uniform(), *rest)),
        "two episodes from seed 0 with equal actions differ: reward of step 1",
    ),
    "endless": (
        Walk(spoil_step=lambda o, r, te, tr, i: (o, r, False, tr, i)),
        "no episode ended within 10,000 random steps",
    ),
    "space": (Walk(gym.spaces.MultiBinary(3)), "the observation space must be a Box or Discrete"),
}


@pytest.mark.parametrize("name", GOOD)
def test_gymnasiums_own_are_fine(name):
    assert check(name, "gymnasium") == []


def test_a_good_one_is_fine():
    assert check(Walk()) == []
    assert check(Scripted()) == []
    endless = Walk(spoil_step=lambda o, r, te, tr, i: (o, r, False, tr, i))
    assert check(gym.wrappers.TimeLimit(endless, 2000)) == []


@pytest.mark.parametrize("env, said", FAULTY.values(), ids=FAULTY)
def test_a_fault_is_named_once(env, said):
    (problem,) = check(env)
    assert said in problem


class State(eqx.Module):
    time: Array
    key: PRNGKeyArray


class Pure(AbstractEnvironment[State]):
    """The random walk in JAX; `spoil_reset` and `spoil_step` change what is returned."""

    spoil_reset: Any = eqx.field(static=True, default=lambda state, seen: (state, seen))
    spoil_step: Any = eqx.field(static=True, default=lambda state, step: (state, step))
    space: Any = eqx.field(static=True, default=None)

    @property
    def observation_space(self):
        return self.space or gym.spaces.Box(-9.0, 9.0, (2,), np.float32)

    @property
    def action_space(self):
        return gym.spaces.Discrete(2)

    def reset(self, key):
        state = State(jnp.zeros((), jnp.int32), key)
        return self.spoil_reset(state, jr.uniform(key, (2,)))

    def step(self, state, action):
        key, draw = jr.split(state.key)
        time = state.time + 1
        step = Step(jr.uniform(draw, (2,)), jnp.ones(()), time == 5, jnp.zeros((), bool))
        return self.spoil_step(State(time, key), step)


def with_step(**changes):
    """A `spoil_step` that changes fields of the `Step`, past the checks of its constructor."""

    def spoil(state, step):
        for name, change in changes.items():
            step = eqx.tree_at(lambda step, name=name: getattr(step, name), step, replace_fn=change)
        return state, step

    return spoil


FAULTY_PURE = {
    "reset raises": (Pure(lambda *pair: bad(1)), "compiling `reset` raised KeyError: 1"),
    "branches on values": (
        Pure(spoil_step=lambda state, step: bad(1) if step.reward > 0 else (state, step)),
        "compiling `step` raised TracerBoolConversionError",
    ),
    "no pair": (Pure(lambda state, seen: seen), "but must return (state, observation)."),
    "no step": (Pure(spoil_step=lambda state, step: (state, step.reward)), "a `Step` must be"),
    "state dtype": (
        Pure(spoil_step=lambda state, step: (State(state.time * 1.0, state.key), step)),
        "the state.time is int32[] after reset, but float32[] after step",
    ),
    "state structure": (
        Pure(spoil_step=lambda state, step: ((state,), step)),
        "the state has the structure",
    ),
    "shape": (
        Pure(lambda state, seen: (state, seen[:1]), with_step(observation=lambda x: x[:1])),
        "the observation of reset has shape (1,), but the observation space says (2,).",
    ),
    "shape after step": (
        Pure(spoil_step=with_step(observation=lambda x: x[None])),
        "the observation of step has shape (1, 2)",
    ),
    "reward dtype": (
        Pure(spoil_step=with_step(reward=lambda x: jnp.ones((), int))),
        "`reward` of step is int32[], but must be a float of shape ().",
    ),
    "reward shape": (
        Pure(spoil_step=with_step(reward=lambda x: x[None])),
        "`reward` of step is float32[1], but must be a float of shape ().",
    ),
    "flag": (
        Pure(spoil_step=with_step(truncated=lambda x: jnp.zeros(()))),
        "`truncated` of step is float32[], but must be a bool of shape ().",
    ),
    "NaN": (
        Pure(spoil_step=with_step(observation=lambda x: x.at[1].set(jnp.nan))),
        "the observation[1] of step 1 is nan, but must be finite.",
    ),
    "outside": (
        Pure(lambda state, seen: (state, seen + 20)),
        "the observation[0] of reset is 2",
    ),
    "endless reward": (
        Pure(spoil_step=lambda s, step: with_step(reward=lambda x: x / (s.time - 3))(s, step)),
        "the reward of step 3 is inf, but must be finite.",
    ),
    "own randomness": (
        Pure(spoil_step=with_step(reward=lambda x: x * UNSEEDED.uniform())),
        "two runs from the same keys with equal actions differ",
    ),
    "endless": (
        Pure(spoil_step=with_step(terminated=jnp.zeros_like)),
        "no episode ended within 10,000 random steps",
    ),
    "space": (Pure(space=gym.spaces.MultiBinary(3)), "the observation space must be a Box or"),
}


def test_good_pure_ones_are_fine():
    assert check("Pendulum-v1") == []
    assert check("rewardtogo.envs.probes:Chain", env_args={"length": 3}) == []
    assert check(TimeLimit(Pure(spoil_step=with_step(terminated=jnp.zeros_like)), 10)) == []


@pytest.mark.parametrize("env, said", FAULTY_PURE.values(), ids=FAULTY_PURE)
def test_a_fault_of_a_pure_one_is_named(env, said):
    problems = check(env)
    assert said in problems[0]
    assert len(problems) == (2 if said.endswith("has shape (1, 2)") else 1)


def test_names_and_backends():
    with pytest.raises(ValueError, match="Did you mean 'CartPole-v1'"):
        check("CartPol-v1")
    with pytest.raises(ValueError, match="backend"):
        check("CartPole-v1", "torch")
    (problem,) = check("CartPole-v1", "gymnasium", {"gravityy": 3})
    assert "gravityy" in problem
    with jax.checking_leaks():
        assert check("host_helpers:Scripted-v0") == []
