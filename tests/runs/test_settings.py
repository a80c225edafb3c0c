import dataclasses
import importlib.metadata
import json
import math
import types
import typing

import jax
import pytest

import rewardtogo as rtg
from rewardtogo.recipes import RECIPES, TUNED
from rewardtogo.runs.resume import read_settings
from rewardtogo.runs.settings import (
    MOST_SEEDS,
    MOST_STEPS,
    RunSettings,
    Settings,
    differences,
    env_args,
    from_json,
    settings_from_json,
    settings_to_json,
    to_json,
)
from rewardtogo.sources.task import HostTask, JaxTask, make_task
from rewardtogo.types import Scalar
from short_runs import (
    compile_cache,  # noqa: F401
    finished_run,
    short_run,
)


ENVIRONMENTS = {
    "a2c": "CartPole-v1",
    "actor-critic": "CartPole-v1",
    "ddpg": "Pendulum-v1",
    "discrete-sac": "CartPole-v1",
    "dpg": "Pendulum-v1",
    "dqn": "CartPole-v1",
    "off-policy-pg": "CartPole-v1",
    "npg": "CartPole-v1",
    "ppo": "CartPole-v1",
    "reinforce": "CartPole-v1",
    "sac": "Pendulum-v1",
    "sac-v": "Pendulum-v1",
    "td3": "Pendulum-v1",
    "trpo": "CartPole-v1",
}


def other_value(value):
    """A legal value that differs from the default."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.25
    if isinstance(value, tuple):
        return (*value, 7)
    return value


def changed(settings):
    """Every number of a dataclass replaced."""
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    nested = {n: changed(v) for n, v in fields.items() if dataclasses.is_dataclass(v)}
    return dataclasses.replace(settings, **{n: other_value(v) for n, v in fields.items()} | nested)


@pytest.mark.parametrize("name", RECIPES)
def test_settings_read_back_are_those_written(name):
    recipe = changed(RECIPES[name]())
    run = RunSettings(seeds=3, seed=7, env_arg=("a=1", "b=x"), eval_every=10, stop_at_return=2.5)
    settings = Settings(recipe, ENVIRONMENTS[name], run)
    assert settings_from_json(json.loads(json.dumps(settings_to_json(settings)))) == settings


@pytest.mark.parametrize("recipe", TUNED.values(), ids=lambda r: type(r).__name__)
def test_tuned_settings_read_back_too(recipe):
    assert from_json(type(recipe), json.loads(json.dumps(to_json(recipe)))) == recipe


def test_the_settings_of_a_run_folder_are_what_was_run():
    assert read_settings(finished_run()) == short_run(eval_every=128)
    data = json.loads((finished_run() / "settings.json").read_text())
    assert data["versions"]["jax"] == importlib.metadata.version("jax")
    assert {"xla_flags", "device_count", "python", "rewardtogo"} <= data["versions"].keys()


def test_an_unknown_setting_is_named():
    data = settings_to_json(short_run())
    data["recipe"]["colour"] = 3
    with pytest.raises(ValueError, match="PPORecipe has no setting colour"):
        settings_from_json(data)


def test_differences_are_said_in_words():
    saved, wanted = to_json(short_run()), to_json(short_run(seed=4))
    assert differences(saved, wanted) == ["`seed` was 0 and is now 4"]
    assert differences(saved, saved) == []


def test_the_arguments_of_an_environment():
    given = ("a=1", "b=-2.5", "c=true", "d=False", "e=text", "f=x=y")
    assert env_args(given) == {
        "a": 1,
        "b": -2.5,
        "c": True,
        "d": False,
        "e": "text",
        "f": "x=y",
    }
    assert isinstance(env_args(("a=1",))["a"], int)


@pytest.mark.parametrize("pair", ["a", "=1", "a=nan", "a=inf", "a=1e999"])
def test_a_malformed_argument_is_refused(pair):
    with pytest.raises(ValueError, match="env_arg"):
        RunSettings(env_arg=(pair,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "`seeds` must be a whole number, at least 1; got 0"),
        ({"seed": -1}, "`seed` must be a whole number, at least 0; got -1"),
        ({"env_timeout": -1.0}, "`env_timeout`.*got -1"),
        ({"env_timeout": math.nan}, "`env_timeout`.*got nan"),
        ({"env_workers": -1}, "`env_workers`.*got -1"),
        ({"report_every": 0}, "`report_every`.*got 0"),
        ({"eval_every": -1}, "`eval_every`.*got -1"),
        ({"eval_episodes": 0}, "`eval_episodes`.*got 0"),
        ({"stop_at_return": 1.0}, "set `eval_every`"),
        ({"stop_at_return": math.nan, "eval_every": 1}, "`stop_at_return`.*got nan"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        RunSettings(**change)


@pytest.mark.parametrize("steps", [-1, 0, MOST_STEPS + 1])
def test_a_number_of_steps_that_cannot_be(steps):
    recipe = dataclasses.replace(RECIPES["ppo"](), total_steps=steps)
    with pytest.raises(ValueError, match="total_steps"):
        Settings(recipe, "CartPole-v1")


def test_seeds_are_numbers_of_31_bits():
    recipe = RECIPES["ppo"]()
    Settings(recipe, "CartPole-v1", RunSettings(seed=MOST_SEEDS - 8, seeds=8))
    with pytest.raises(ValueError, match="`seed` \\+ `seeds`"):
        Settings(recipe, "CartPole-v1", RunSettings(seed=MOST_SEEDS - 7, seeds=8))


def test_a_recipe_of_ones_own_is_not_imported_by_a_folders_word():
    data = settings_to_json(short_run()) | {"recipe_class": "somebody.elses:Recipe"}
    with pytest.raises(ValueError, match=r"import somebody\.elses first"):
        settings_from_json(data)


def real_settings(kind, path=()):
    """The paths of all settings that are real numbers, of a recipe and of its algorithm."""
    for name, hint in typing.get_type_hints(kind).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from real_settings(hint, (*path, name))
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if float in kinds or set(typing.get_args(Scalar)) <= set(kinds):
            yield (*path, name)


def with_value(settings, path, value):
    first, *rest = path
    inner = with_value(getattr(settings, first), rest, value) if rest else value
    return dataclasses.replace(settings, **{first: inner})


@pytest.mark.parametrize("name", RECIPES)
def test_nan_and_infinity_are_refused_everywhere(name):
    """Whatever real number is added to a recipe has to be checked."""
    paths = list(real_settings(RECIPES[name]))
    assert {path[-1] for path in paths} >= {"discount", "learning_rate"}
    task = make_task(ENVIRONMENTS[name], num_seeds=1, run_seed=0)
    for path in paths:
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(ValueError, match=path[-1]):
                with_value(RECIPES[name](), path, value).build(task)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_are_refused_in_a_run_too(value):
    for (name,) in real_settings(RunSettings):
        with pytest.raises(ValueError, match=name):
            RunSettings(**{"eval_every": 10, name: value})


def test_settings_read_well():
    text = repr(short_run())
    lines = text.splitlines()
    assert lines[0] == "Settings"
    assert "  environment: 'CartPole-v1'" in lines
    assert "      discount: 0.99" in lines  # inside recipe and algorithm
    assert max(map(len, lines)) < 80


def test_the_world_is_the_one_asked_for():
    settings = short_run(backend="gymnasium", env_workers=2, env_timeout=0.0, seed=4)
    task = settings.task()
    assert isinstance(task, HostTask)
    assert (task.num_workers, task.timeout, task.run_seed, task.num_seeds) == (2, None, 4, 2)
    assert isinstance(short_run().task(), JaxTask)


def test_jax_is_not_needed_for_numbers_in_settings():
    """Swept hyperparameters are arrays, and pass the checks unread."""
    assert rtg.PPO(learning_rate=jax.numpy.asarray(0.1)).learning_rate == 0.1
