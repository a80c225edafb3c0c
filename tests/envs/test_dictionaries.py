"""Gymnasium's dictionaries of observations: one vector for the learner, or a clear refusal."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest

import rewardtogo as rtg
from own_images import SIDE, STEPS, ToldSpot
from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.envs.check import check
from rewardtogo.envs.factory import make_host, unsupported_space
from rewardtogo.envs.host import InProcess
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings


NAME = "own_images:ToldSpot-v0"


def test_parts_stand_in_the_order_of_their_keys():
    """A category of ten, counted from 3, as one-hot, then two numbers."""
    env, plain = make_host(NAME)(), ToldSpot()
    seen, told = env.reset(seed=4)[0], plain.reset(seed=4)[0]
    for _ in range(STEPS):
        one_hot = np.arange(SIDE) == told["side"] - 3
        assert np.array_equal(seen, [*one_hot, *told["time"].ravel()])
        seen, told = env.step(1)[0], plain.step(1)[0]
    assert env.observation_space.shape == (SIDE + 2,)


def test_a_pool_steps_them():
    pool = InProcess(make_host(NAME), 3, run_seed=0)
    assert pool.reset().shape == (3, SIDE + 2)
    step = pool.step(np.array([0, 1, 1]))
    assert step.next_observation.dtype == np.float32
    assert np.allclose(step.next_observation[:, SIDE:], [1 / STEPS, 0.5])
    assert np.array_equal(step.next_observation[:, :SIDE].sum(axis=1), np.ones(3))


def test_ppo_trains_and_acts_on_them(tmp_path):
    recipe = dataclasses.replace(
        rtg.default_recipe("ppo", NAME),
        algorithm=rtg.PPO(num_epochs=1, num_minibatches=2),
        num_envs=2,
        num_steps=16,
        hidden=(8,),
        total_steps=64,
    )
    settings = Settings(recipe, NAME, RunSettings(eval_episodes=2))
    result = fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    assert result.evaluation.lengths == (STEPS,)
    plain = ToldSpot()
    observation = gym.spaces.flatten(plain.observation_space, plain.reset(seed=0)[0])
    assert rtg.load(tmp_path / "run").predict(observation)[0] in (0, 1)


@pytest.mark.parametrize(
    "inside",
    [
        gym.spaces.Box(0, 255, (8, 8, 3), np.uint8),
        gym.spaces.MultiBinary(3),
        gym.spaces.Dict({"deeper": gym.spaces.Discrete(2)}),
    ],
    ids=["image", "kind", "nested"],
)
def test_what_a_dictionary_may_not_hold(inside):
    with pytest.raises(ValueError, match=r"must hold nothing but Box and Discrete.*none of them"):
        make_host(NAME, {"inside": inside})


def test_a_dictionary_by_itself_is_not_enough():
    assert check(NAME) == []
    assert "FlattenObservation" in check(ToldSpot())[0]
    assert unsupported_space("observation", gym.spaces.Dict({})) is not None
    actions = gym.spaces.Dict({"go": gym.spaces.Discrete(2)})
    assert str(unsupported_space("action", actions)).startswith("the action space must be a Box")
