"""Whole runs with a memory and with a history: trained, evaluated, loaded, shown, gone on with."""

import dataclasses
import json
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

import rewardtogo as rtg
from rewardtogo.nn.recurrent import RecurrentActorCritic
from rewardtogo.recipes import RECIPES
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.load import SavedRun
from rewardtogo.runs.play import play
from rewardtogo.runs.resume import read_settings
from rewardtogo.runs.settings import RunSettings
from rewardtogo.sources.task import HostTask, JaxTask, make_task
from rewardtogo.training.evaluate import make_evaluator
from short_runs import (
    cartpole_observations,
    compile_cache,  # noqa: F401
    copy_of,
    finished_run,
    rows,
    scratch,
    short_run,
)


HISTORY = rtg.History(stack=2, past_action=True)


def remembering_run():
    """PPO with a memory on CartPole, two observations and their actions at a time."""
    path = scratch() / "remembering"
    if not path.exists():
        settings = short_run(256, stack=2, past_action=True)
        recipe = dataclasses.replace(settings.recipe, recurrent_size=4)
        fit_settings(dataclasses.replace(settings, recipe=recipe), run_dir=path, quiet=True)
    return path


def test_the_flags_of_a_run_are_kept():
    settings = read_settings(remembering_run())
    assert settings.run.history == HISTORY
    assert settings.task().observation_space.shape == (12,)
    policy: Any = SavedRun(remembering_run()).policy(0)
    assert isinstance(policy.model, RecurrentActorCritic)


def test_a_batch_of_episodes_is_each_alone():
    """The memory is that of the call before; without one an episode begins."""
    predictor = rtg.load(remembering_run())
    seen = np.concatenate([cartpole_observations(3)] * 3, axis=1)  # twelve numbers of three envs
    actions, memory = predictor.predict(seen)
    again, later = predictor.predict(2 * seen, memory)
    assert actions.shape == again.shape == (3,) and later.shape == (3, 4)
    for env in range(3):
        action, alone = predictor.predict(seen[env])
        assert action == actions[env] and np.allclose(alone, memory[env], atol=1e-6)
        action, alone = predictor.predict(2 * seen[env], alone)
        assert action == again[env] and np.allclose(alone, later[env], atol=1e-6)
    assert np.abs(memory - later).max() > 1e-3


def test_the_command_shows_what_the_policy_does(tmp_path):
    """`play` gives the return of the same policy in Gymnasium's environment with that history."""
    (value,) = play(remembering_run(), tmp_path / "out.png", seed=5)
    env, predictor = HISTORY.around_gym(gym.make("CartPole-v1")), rtg.load(remembering_run())
    observation, _ = env.reset(seed=5)
    total, memory, ended = 0.0, None, False
    while not ended:
        action, memory = predictor.predict(observation, memory)
        observation, reward, terminated, truncated, _ = env.step(int(action))
        total, ended = total + float(reward), terminated or truncated
    assert value == total


def test_evaluation_carries_the_memory_on_both_sides():
    """A policy that goes right from its fourth step on, by what it remembers: 16 of 20 steps."""
    from rewardtogo.nn.distributions import Categorical
    from rewardtogo.nn.policies import AbstractPolicy

    class Counting(AbstractPolicy[Categorical]):
        def __call__(self, observation, memory):
            right = (memory >= 4).astype(jnp.float32)
            return Categorical(jnp.stack([1 - right, right], axis=-1)), memory + 1

        def initial_carry(self):
            return jnp.zeros((), jnp.int32)

    for name in ("own_environments:Line", "own_environments:Walk-v0"):
        task = make_task(name, num_seeds=1, run_seed=0, history=rtg.History(stack=3))
        assert isinstance(task, JaxTask if name.endswith("Line") else HostTask)
        assert task.observation_space.shape == (6,)
        evaluate = make_evaluator(task, lambda _: Counting(), num_seeds=1, num_episodes=25)
        episodes = evaluate(jnp.zeros((1,)), 0)
        assert np.all(episodes.returns == 16) and np.all(episodes.lengths == 20)


def test_a_memory_learns_in_gymnasium_too(tmp_path):
    settings = short_run(64, environment="own_environments:Walk-v0", seeds=1, stack=2)
    recipe = dataclasses.replace(settings.recipe, recurrent_size=3)
    settings = dataclasses.replace(settings, recipe=recipe)
    result = fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    assert result.evaluation.lengths == (20,)


def test_a_run_from_before_these_settings_goes_on(tmp_path):
    """What its folder does not name has its default."""
    run = copy_of(finished_run(), tmp_path / "run")
    data = json.loads((run / "settings.json").read_text())
    del data["run"]["stack"], data["run"]["past_action"], data["recipe"]["recurrent_size"]
    (run / "settings.json").write_text(json.dumps(data))
    assert rtg.load(run).predict(np.zeros(4))[0] in (0, 1)
    fit_settings(short_run(672, eval_every=128), run_dir=run, resume=True, quiet=True)
    assert rows(run)[-1]["time/total_timesteps"] == 672


def test_another_history_is_another_run(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    with pytest.raises(ValueError, match="`stack` was 1 and is now 2"):
        fit_settings(short_run(eval_every=128, stack=2), run_dir=run, resume=True, quiet=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recurrent_size": 0}, "`recurrent_size` must be a whole number, at least 1; got 0"),
        ({"recurrent_size": 4, "hidden": ()}, "`hidden` is empty"),
    ],
    ids=str,
)
def test_a_memory_that_cannot_be(change, words):
    task = make_task("CartPolePositions-v1", num_seeds=1, run_seed=0)
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(RECIPES["ppo"](), **change).build(task)


@pytest.mark.parametrize("stack", [0, -2])
def test_a_stack_that_cannot_be(stack):
    with pytest.raises(ValueError, match="`stack` must be a whole number, at least 1"):
        RunSettings(stack=stack)


def test_what_has_no_pictures_says_so(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    text = (run / "settings.json").read_text()
    (run / "settings.json").write_text(text.replace("CartPole-v1", "TMaze-v0"))
    with pytest.raises(ValueError, match="TMaze-v0 is written in JAX and has no pictures"):
        play(run, tmp_path / "out.gif")
