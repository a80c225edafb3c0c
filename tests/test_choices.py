"""From an environment of several choices and masks to a trained policy, in JAX and on the host."""

import dataclasses
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import rewardtogo as rtg
from own_choices import STEPS, HostDoors
from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.recipes import RECIPES
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.sources.task import make_task
from rewardtogo.spaces import action_mask
from rewardtogo.training.train import build_program, train


UPDATES: dict[str, Any] = {
    "a2c": rtg.A2C(),
    "npg": rtg.NPG(num_epochs=1, num_minibatches=2, cg_iterations=2),
    "ppo": rtg.PPO(num_epochs=1, num_minibatches=2),
    "reinforce": rtg.REINFORCE(),
    "trpo": rtg.TRPO(num_epochs=1, num_minibatches=2, cg_iterations=2),
}


def small(algorithm: str, **changes: Any) -> Any:
    """A recipe of 32 steps an iteration."""
    sizes = {"num_episodes": 4, "max_episode_steps": STEPS}
    if algorithm != "reinforce":
        sizes = {"num_envs": 4, "num_steps": 8}
    make: Any = RECIPES[algorithm]
    recipe = make(algorithm=UPDATES[algorithm], hidden=(4,), total_steps=64)
    return dataclasses.replace(recipe, **(sizes | changes))


def doors(name: str = "own_choices:Doors", **arguments: Any):
    return make_task(name, num_seeds=1, run_seed=0, env_args=arguments)


def reports(recipe: Any, task: Any) -> list[rtg.Report]:
    ingredients = recipe.build(task)
    program = build_program(ingredients, keys=jr.split(jr.key(0), 1))
    return list(train(program, total_steps=64, report_every=32))


@pytest.mark.parametrize("algorithm", UPDATES)
def test_each_algorithm_takes_several_choices_and_keeps_to_the_mask(algorithm):
    """A locked door costs 1000; steps and parameters are finite, or training would stop."""
    found = reports(small(algorithm), doors())
    assert len(found) == 2
    for report in found:
        assert 0 <= report.metrics["rollout/ep_rew_mean"][0] <= STEPS
        assert report.metrics["rollout/ep_len_mean"][0] == STEPS
        assert -np.log(6) <= report.metrics["train/entropy_loss"][0] < 0


def test_without_its_mask_a_locked_door_is_tried(monkeypatch):
    """The environment does tell: the test before this one could fail."""
    from rewardtogo.nn import build

    monkeypatch.setattr(build, "action_mask", lambda space: None)
    assert reports(small("a2c"), doors())[0].metrics["rollout/ep_rew_mean"][0] < -100


@pytest.mark.parametrize("algorithm", ["ppo", "reinforce"])
def test_the_same_on_the_host(algorithm):
    for masked in (True, False):
        found = reports(small(algorithm), doors("own_choices:Doors-v0", masked=masked))
        assert 0 <= found[-1].metrics["rollout/ep_rew_mean"][0] <= STEPS


def test_a_mask_is_not_normalised():
    """What is seen beside it is."""
    recipe = small("ppo", normalise_observation=True)
    found = reports(recipe, doors())
    assert found[-1].metrics["rollout/ep_rew_mean"][0] >= 0
    ingredients = recipe.build(doors())
    state = jax.tree.map(lambda x: x[0], found[-1].state.learner)
    scaling = ingredients.learner._scaling(state)  # pyright: ignore[reportAttributeAccessIssue]
    seen = np.array([[1, 0, 1, 0, 1, 2.0, 0.0], [0, 0, 1, 1, 0, 0.0, 1.0]], np.float32)
    scaled = np.asarray(scaling(jnp.asarray(seen)))
    mean, variance = np.asarray(state.observation.mean), np.asarray(state.observation.variance)
    assert np.array_equal(scaled[:, :5], seen[:, :5])
    assert np.allclose(scaled[:, 5:], (seen[:, 5:] - mean[5:]) / np.sqrt(variance[5:]), atol=1e-4)


@pytest.mark.parametrize("name", ["own_choices:one_row", "own_choices:OneRow-v0"])
def test_ppo_learns_behind_a_mask_and_its_mode_keeps_to_it(name, tmp_path):
    """Training, evaluation, a saved policy: never a locked door."""
    recipe = small("ppo", total_steps=320)
    settings = Settings(recipe, name, RunSettings(seeds=1, eval_episodes=5))
    result = fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    assert 0 <= result.evaluation.means[0] <= STEPS
    policy, env = rtg.load(tmp_path / "run"), HostDoors((4,))
    first = env.action_space.start if name.endswith("-v0") else 0
    env.reset(seed=0)
    for _ in range(20):
        env.time = 0  # an episode without an end
        seen = gym.spaces.flatten(env.observation_space, env._seen())
        for deterministic in (True, False):
            action, _ = policy.predict(seen, deterministic=deterministic)
            assert env.allowed[int(action) - first]


def test_what_has_no_masked_policy_says_so():
    with pytest.raises(ValueError, match="DQN cannot keep to the `action_mask` of own_choices:one"):
        RECIPES["dqn"]().build(doors("own_choices:one_row"))
    with pytest.raises(
        ValueError, match=r"DQN needs a Discrete action space; .* has MultiDiscrete"
    ):
        RECIPES["dqn"]().build(doors())
    with pytest.raises(ValueError, match="DPG needs a Box action space"):
        RECIPES["dpg"]().build(doors("own_choices:one_row"))
    with pytest.raises(ValueError, match="SAC needs a Box action space"):
        RECIPES["sac"]().build(doors())


@pytest.mark.parametrize("algorithm", ["a2c", "npg", "ppo", "reinforce", "trpo"])
def test_a_deviation_out_of_range_is_refused(algorithm):
    place = make_task("Pendulum-v1", num_seeds=1, run_seed=0)
    for std, high in (("state", "2"), ("learned", "5"), ("fixed", "5")):
        with pytest.raises(ValueError, match=rf"`initial_log_std` must lie in \[-20, {high}\]"):
            small(algorithm, std=std, initial_log_std=7.0).build(place)


@pytest.mark.parametrize(("algorithm", "std"), [("ppo", "fixed"), ("trpo", "state")])
def test_either_deviation_trains(algorithm, std):
    """A fixed σ stays: the entropy of the policy is that of the first."""
    recipe = small(algorithm, std=std, initial_log_std=-0.5, initialisation="fan-in")
    place = make_task("Pendulum-v1", num_seeds=1, run_seed=0)
    entropy = -reports(recipe, place)[-1].metrics["train/entropy_loss"][0]
    first = 0.5 * np.log(2 * np.pi * np.e) - 0.5
    assert np.isclose(entropy, first, atol=1e-5) == (std == "fixed")


@pytest.mark.parametrize("change", [{"shared_trunk": True}, {"recurrent_size": 3}], ids=str)
@pytest.mark.parametrize("stack", [1, 3])
def test_a_mask_holds_behind_a_trunk_a_memory_and_a_stack(change, stack):
    """What counts is the mask of now: those of before stand in the observation too."""
    place = make_task(
        "own_choices:one_row", num_seeds=1, run_seed=0, history=rtg.History(stack=stack)
    )
    space = place.observation_space
    ingredients = small("ppo", **change).build(place)
    model = ingredients.models(jr.key(0))
    mask = action_mask(space)
    assert mask is not None and space.shape is not None and mask.stop <= space.shape[0]
    width = space.shape[0] // stack
    assert mask.start // width == stack - 1
    size = mask.stop - mask.start
    for allowed in range(size):
        seen = jnp.ones(space.shape).at[mask].set(jnp.arange(size) == allowed)
        distribution, _, _ = model(seen, model.initial_carry())
        assert np.array_equal(np.exp(distribution.log_prob(jnp.asarray(allowed))), 1)
