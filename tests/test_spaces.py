"""Dictionaries as vectors, where their mask stands; choices from an environment's own number."""

import json
from collections import OrderedDict
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

from own_choices import Doors, HostDoors
from rewardtogo import spaces
from rewardtogo.envs.check import check
from rewardtogo.envs.factory import make_host, unsupported_space
from rewardtogo.envs.host import InProcess
from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.envs.workers import Workers
from rewardtogo.envs.wrappers import FlatObservations
from rewardtogo.spaces import action_mask, flattened, mask_problem, num_choices


WANTED = gym.spaces.Box(0.0, 1.0, (2, 1), np.float32)
MASK = gym.spaces.MultiBinary(3)


@pytest.mark.parametrize(
    ("space", "choices"),
    [
        (gym.spaces.Discrete(3, start=5), (3,)),
        (gym.spaces.MultiDiscrete([3, 2]), (3, 2)),
        (gym.spaces.MultiBinary(2), (2, 2)),
        (gym.spaces.Box(-1.0, 1.0, (2,)), ()),
    ],
)
def test_choices_of_an_action(space, choices):
    assert num_choices(space) == choices


@pytest.mark.parametrize(
    ("parts", "mask"),
    [
        ({"observation": WANTED, "action_mask": MASK}, slice(0, 3)),  # Gymnasium sorts the keys
        (OrderedDict(observation=WANTED, action_mask=MASK), slice(2, 5)),  # but not of these
        ({"a": gym.spaces.Discrete(4), "action_mask": MASK, "b": WANTED}, slice(4, 7)),
        ({"observation": WANTED}, None),
    ],
)
def test_the_mask_is_found_in_the_flat_vector(parts, mask):
    """Where `gymnasium.spaces.flatten` puts it."""
    space = gym.spaces.Dict(parts)
    flat = flattened(space)
    assert action_mask(flat) == mask and flat == gym.spaces.flatten_space(space)
    space.seed(1)
    told = space.sample()
    if mask is not None:
        seen: Any = gym.spaces.flatten(space, told)
        assert np.array_equal(seen[mask], told["action_mask"])


def test_a_mask_is_zeros_and_ones():
    bytes_of = lambda high, shape: gym.spaces.Box(0, high, shape, np.int8)
    for good in (MASK, bytes_of(1, (3,))):
        space = gym.spaces.Dict({"observation": WANTED, "action_mask": good})
        assert mask_problem(flattened(space), gym.spaces.Discrete(3)) is None
    for bad in (bytes_of(2, (3,)), bytes_of(1, (3, 1)), gym.spaces.Discrete(3)):
        space = gym.spaces.Dict({"observation": WANTED, "action_mask": bad})
        assert "as `action_mask` a MultiBinary" in str(unsupported_space("observation", space))


class Told(AbstractEnvironment):
    """Always tells the same."""

    space: Any
    told: Any

    @property
    def observation_space(self):
        return self.space

    @property
    def action_space(self):
        return gym.spaces.Discrete(3)

    def reset(self, key):
        return key, self.told

    def step(self, state, action):
        return state, Step(self.told, jnp.zeros(()), jnp.array(False), jnp.array(False))


def test_flat_observations_are_those_of_gymnasium(key):
    """Numbers, a category counted from 4, a mask: the same vector in JAX."""
    space = gym.spaces.Dict(
        {
            "b": gym.spaces.Box(-1.0, 1.0, (2, 2), np.float32),
            "action_mask": MASK,
            "a": gym.spaces.Discrete(4, start=4),
        }
    )
    space.seed(0)
    for _ in range(5):
        told = space.sample()
        expected: Any = gym.spaces.flatten(space, told)
        given = {key: jnp.asarray(value) for key, value in told.items()}
        env = FlatObservations(Told(space, given))
        assert np.array_equal(env.reset(key)[1], expected)
        assert np.array_equal(env.step((), jnp.array(0))[1].observation, expected)
        assert env.observation_space == gym.spaces.flatten_space(space)
    with pytest.raises(ValueError, match="only a dictionary of Box and Discrete"):
        FlatObservations(Doors(masked=False))


def test_choices_reach_an_environment_from_its_own_first_number():
    """Each part of 0, 1, … is 5, 6, … there; the environment asserts it."""
    pool = InProcess(make_host("own_choices:Doors-v0", {"masked": False}), 2, run_seed=0)
    wanted = pool.reset().astype(np.int32)
    for _ in range(3):
        step = pool.step(wanted)
        assert np.array_equal(step.reward, [1, 1])
        wanted = step.observation.astype(np.int32)


def test_workers_step_them_too():
    factory = make_host("own_choices:Doors-v0")
    pool = Workers(factory, 2, num_workers=1, run_seed=0)
    try:
        assert action_mask(pool.observation_space) == slice(0, 5)
        assert pool.reset().shape == (2, 7)
        wanted = pool.reset()[:, 5:].astype(np.int32)
        assert np.array_equal(pool.step(wanted).reward, [1, 1])
    finally:
        pool.close()


class NeverOpen(HostDoors):
    def _seen(self):
        seen = super()._seen()
        return seen | {"action_mask": np.zeros_like(seen["action_mask"])}


class AlwaysLocked(Doors):
    def _seen(self, state):
        return super()._seen(state) | {"action_mask": jnp.zeros(5, jnp.int8)}


def test_checks_keep_to_the_mask():
    """A step into a locked door would be told as an error."""

    class Strict(HostDoors):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            assert reward >= 0
            return observation, reward, *rest

    def flat(env):
        space = env.observation_space
        transform = lambda seen: gym.spaces.flatten(space, seen)
        return gym.wrappers.TransformObservation(env, transform, flattened(space))

    assert check(flat(Strict())) == [] and check(Doors()) == []
    assert check("own_choices:OneRow-v0") == []
    assert "allows nothing, though" in check(flat(NeverOpen()))[0]
    assert "allows nothing, though" in check(AlwaysLocked())[0]


KEPT = {
    "box": gym.spaces.Box(
        np.array([-1.5, -np.inf], np.float32), np.array([2.0, np.inf], np.float32)
    ),
    "pixels": gym.spaces.Box(0, 255, (2, 3, 3), np.uint8),
    "discrete": gym.spaces.Discrete(3, start=5),
    "several": gym.spaces.MultiDiscrete([2, 3], start=[0, 4]),
    "binary": gym.spaces.MultiBinary(4),
    "parts": gym.spaces.Dict({"a": gym.spaces.Discrete(2), "b": gym.spaces.Box(0.0, 1.0, (2,))}),
    "masked": spaces.MaskedBox(gym.spaces.Box(0.0, 1.0, (5,)), slice(2, 5)),
    "whole numbers": gym.spaces.Box(-(2**62), 2**62, (1,), np.int64),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_space_reads_back_as_it_was_written(name):
    """Through JSON text, which knows no infinity; masks, dtypes and starts included."""
    space = KEPT[name]
    again = spaces.space_from_json(json.loads(json.dumps(spaces.space_to_json(space))))
    assert again == space and type(again) is type(space)
    assert spaces.action_mask(again) == spaces.action_mask(space)


def test_what_is_no_space_is_refused():
    with pytest.raises(ValueError, match="of no kind that a run folder keeps"):
        spaces.space_to_json(gym.spaces.Text(3))
    with pytest.raises(ValueError, match="is no space"):
        spaces.space_from_json({"box": [2]})
