"""One line to fit: names, classes, functions and objects as environments; arguments as settings."""

import dataclasses
import inspect
import json
from typing import Any

import numpy as np
import pytest

import rewardtogo as rtg
from own_environments import Line, Walk
from rewardtogo.runs.settings import RunSettings


SHORT: dict[str, Any] = {"total_steps": 64, "seeds": 1, "eval_episodes": 2, "quiet": True}
RECIPE = rtg.PPORecipe(
    algorithm=rtg.PPO(num_minibatches=2, num_epochs=1), num_envs=2, num_steps=16, hidden=(4,)
)


def written(result):
    return json.loads((result.path / "settings.json").read_text())


def test_run_settings_are_arguments_with_the_same_defaults():
    """None is lost, and none means something else than in the command."""
    arguments = inspect.signature(rtg.fit).parameters
    for field in dataclasses.fields(RunSettings):
        name = {"env_arg": "env_args"}.get(field.name, field.name)
        if name != "env_args":
            assert arguments[name].default == field.default, name
    assert "kwargs" not in arguments


def test_a_name_takes_tuned_settings_and_total_steps_replaces_theirs(tmp_path):
    tuned: Any = rtg.default_recipe("ppo", "CartPole-v1")
    result = rtg.fit("ppo", "CartPole-v1", run_dir=str(tmp_path / "run"), **SHORT)
    recipe = written(result)["recipe"]
    assert recipe["num_envs"] == tuned.num_envs and recipe["total_steps"] == 64


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Walk, "own_environments:Walk"),
        ("own_environments:Walk", "own_environments:Walk"),
        (Line, "own_environments:Line"),
    ],
    ids=["a class for Gymnasium", "its name", "a class in JAX"],
)
def test_a_class_is_found_again_by_its_name(given, name, tmp_path):
    result = rtg.fit(RECIPE, given, run_dir=tmp_path / "run", **SHORT)
    assert written(result)["environment"] == name
    assert not written(result)["environment_given"]
    again = rtg.evaluate(result.path, episodes=2, seed=0)
    assert np.isfinite(again.means).all()


@pytest.mark.parametrize("given", [lambda: Walk(), Line()], ids=["a function", "an object in JAX"])
def test_what_no_name_leads_to_is_asked_for(given, tmp_path):
    result = rtg.fit(RECIPE, given, run_dir=tmp_path / "run", **SHORT)
    assert written(result)["environment_given"]
    shape = rtg.load(result.path).observation_space.shape or ()
    observation = np.zeros(shape, np.float32)
    rtg.load(result.path).predict(observation)  # the spaces are in the folder
    with pytest.raises(ValueError, match=r"given as an object .*give it again, as `environment`"):
        rtg.evaluate(result.path, episodes=2)
    assert np.isfinite(rtg.evaluate(result.path, given, episodes=2).means).all()
    longer: dict[str, Any] = SHORT | {"total_steps": 96}
    again = rtg.fit(RECIPE, given, run_dir=result.path, resume=True, **longer)
    assert again.evaluation.steps == (96,)


def test_another_environment_than_the_policies_fit_is_refused(tmp_path):
    result = rtg.fit(RECIPE, Walk, run_dir=tmp_path / "run", **SHORT)
    with pytest.raises(ValueError, match="the observation_space of CartPole-v1 is"):
        rtg.evaluate(result.path, "CartPole-v1")


def test_one_environment_is_not_many():
    made = inspect.unwrap(rtg.make_task)  # as users call it, whose types nothing checks
    with pytest.raises(ValueError, match="is one Walk, and several are stepped side by side"):
        made(Walk(), num_seeds=1, run_seed=0)
    with pytest.raises(ValueError, match=r"`environment` must be a name, .* got 3"):
        made(3, num_seeds=1, run_seed=0)


def test_check_takes_what_fit_takes():
    assert rtg.check(Walk) == rtg.check("Walk-v0") == []
    assert rtg.check(Line) == rtg.check(Line()) == rtg.check("own_environments:Line")
    assert rtg.check(lambda: Walk()) == []


def test_a_format_1_folder_names_the_version_that_wrote_it(tmp_path):
    result = rtg.fit(RECIPE, Walk, run_dir=tmp_path / "run", **SHORT)
    old = written(result) | {"format": 1, "versions": {"rewardtogo": "0.0.9"}}
    (result.path / "settings.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r"format 1, written by rewardtogo 0\.0\.9"):
        rtg.load(result.path)
