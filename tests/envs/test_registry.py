import re

import gymnasium as gym
import pytest
from classic_cases import CASES

from rewardtogo.envs.classic.pendulum import Pendulum
from rewardtogo.envs.probes import Chain
from rewardtogo.envs.registry import is_jax_environment, jax_environments, make
from rewardtogo.envs.wrappers import TimeLimit


@pytest.mark.parametrize("name", CASES)
def test_limits_are_gymnasiums(name):
    env = make(name)
    assert isinstance(env, TimeLimit)
    assert env.max_steps == gym.spec(name).max_episode_steps


def test_every_classic_name_is_there():
    assert set(CASES) <= set(jax_environments())
    assert all(map(is_jax_environment, jax_environments()))


def test_arguments_reach_the_class():
    env = make("Pendulum-v1", {"g": 9.81})
    assert isinstance(env, TimeLimit) and isinstance(env.env, Pendulum)
    assert env.env.g == 9.81


def test_a_class_of_ones_own():
    name = "rewardtogo.envs.probes:Chain"
    assert is_jax_environment(name)
    assert make(name, {"length": 3}) == Chain(length=3)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "ale_py:ALE/Pong-v5", "minigrid:Empty-v0", ""])
def test_gymnasiums_other_names_are_not_ours(name):
    assert not is_jax_environment(name)


@pytest.mark.parametrize(
    ("name", "env_args", "message"),
    [
        ("cartpole-v1", {}, "Did you mean 'CartPole-v1'?"),
        ("Pendulm-v1", {}, "Did you mean 'Pendulum-v1'?"),
        ("HalfCheetah-v5", {}, "CartPole-v1, CartPolePositions-v1, LinearQuadratic-v0"),
        ("CartPole-v1", {"gravity": 1.0}, "'gravity'; its arguments: sutton_barto_reward, dtype"),
        ("ale_py:ALE/Pong-v5", {}, 'not of the form "package.module:ClassName"'),
        ("no_such_package.envs:Maze", {}, "there is no module 'no_such_package'"),
        ("rewardtogo.no_such_module:Maze", {}, "there is no module 'rewardtogo.no_such_module'"),
        ("rewardtogo.envs.probes:Chian", {}, "no class 'Chian'. Did you mean 'Chain'?"),
        ("rewardtogo.envs.probes:Chain", {"size": 3}, "'size'; its arguments: length, dtype"),
        ("rewardtogo.envs.probes:Chain", {"length": 1}, "length must be"),
        ("rewardtogo.envs.wrappers:TimeLimit", {}, "missing a required argument: 'env'"),
        ("collections:OrderedDict", {}, "a OrderedDict, which is not a rewardtogo.envs"),
        ("pathlib:Path.cwd", {}, 'not of the form "package.module:ClassName"'),
        ("os:getcwd", {}, "a str, which is not a rewardtogo.envs"),
    ],
)
def test_one_clear_error(name, env_args, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(name, env_args)


def test_a_module_that_lacks_its_own_import_says_so(tmp_path, monkeypatch):
    (tmp_path / "maze_for_test.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_dependency"):
        make("maze_for_test:Maze")
