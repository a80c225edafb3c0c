import dataclasses

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rewardtogo as rtg
from rewardtogo.algorithms.normalised import NormalisedPolicy
from rewardtogo.nn.distributions import Categorical, DiagonalGaussian
from rewardtogo.nn.policies import AbstractPolicy
from rewardtogo.runs import checkpoint
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.load import Predictor, SavedRun
from rewardtogo.sources.task import make_task
from short_runs import (
    cartpole_observations,
    compile_cache,  # noqa: F401
    copy_of,
    finished_run,
    flip_bit,
    last_arrays,
    scratch,
    short_run,
)


def actor_by_hand(run, seed, observation):
    """The saved network's logits, in NumPy."""
    arrays = last_arrays(run)
    x = observation
    for layer in range(2):
        name = f"learner/trainable/params/actor/logits/layers/{layer}"
        x = x @ arrays[f"{name}/weight"][seed] + arrays[f"{name}/bias"][seed]
        x = np.tanh(x) if layer == 0 else x
    return x


@pytest.mark.parametrize("seed", [0, 1])
def test_it_acts_as_the_parameters_say(seed):
    predictor = rtg.load(finished_run(), seed=seed)
    observations = 10 * cartpole_observations(20)
    actions, _ = predictor.predict(observations)
    logits = actor_by_hand(finished_run(), seed, observations)
    assert actions.tolist() == logits.argmax(axis=-1).tolist()
    assert len(set(actions.tolist())) == 2


def test_one_observation_or_any_batch_of_them():
    predictor = rtg.load(str(finished_run()))
    observations = 10 * cartpole_observations(6)
    many, memory = predictor.predict(observations)
    assert memory == ()
    assert predictor.predict(observations[2])[0].shape == ()
    assert predictor.predict(observations[2])[0] == many[2]
    nested, _ = predictor.predict(observations.reshape(2, 3, 4))
    assert nested.tolist() == many.reshape(2, 3).tolist()
    assert predictor.predict(observations.tolist())[0].tolist() == many.tolist()
    assert int(predictor.predict(observations[0])[0]) in gym.make("CartPole-v1").action_space


def test_deterministic_is_the_mode_and_the_other_samples():
    predictor = rtg.load(finished_run())
    observation = cartpole_observations(1)[0]
    same = {int(predictor.predict(observation)[0]) for _ in range(20)}
    drawn = {int(predictor.predict(observation, deterministic=False)[0]) for _ in range(60)}
    assert len(same) == 1 and drawn == {0, 1}


@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (4, 1)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        rtg.load(finished_run()).predict(np.zeros(shape))


class Constant(AbstractPolicy):
    """Acts with 0.5 wherever it is, a quarter short of the upper bound."""

    mean: jax.Array

    def __call__(self, observation, memory):
        mean = self.mean + jnp.zeros((*observation.shape[:-1], 1))
        return DiagonalGaussian(mean, jnp.zeros_like(mean)), memory

    def initial_carry(self):
        return ()


@pytest.mark.parametrize("backend", ["jax", "gymnasium"])
def test_actions_are_in_the_environments_own_units(backend):
    """Pendulum takes torques from −2 to 2; policies act in [−1, 1], and beyond are cut."""
    task = make_task("Pendulum-v1", num_seeds=1, run_seed=0, backend=backend)
    space = gym.make("Pendulum-v1").action_space
    for mean, torque in [(0.5, 1.0), (-1.0, -2.0), (7.0, 2.0)]:
        action, _ = Predictor(Constant(jnp.array(mean)), task).predict(np.zeros(3, np.float32))
        assert action == pytest.approx(torque)
        assert action.astype(np.float32) in space


class Second(AbstractPolicy):
    """Always the second action."""

    def __call__(self, observation, memory):
        return Categorical(jnp.zeros((*observation.shape[:-1], 2)).at[..., 1].set(1.0)), memory

    def initial_carry(self):
        return ()


def test_discrete_actions_are_counted_as_the_environment_counts_them():
    task = make_task("own_environments:Walk-v0", num_seeds=1, run_seed=0)
    assert Predictor(Second(), task).predict(np.zeros(2))[0] == 6  # of 5 and 6


class Echo(AbstractPolicy):
    """Acts with the number that it sees."""

    def __call__(self, observation, memory):
        return Categorical(jax.nn.one_hot(observation, 3)), memory

    def initial_carry(self):
        return ()


def test_discrete_observations_are_counted_from_the_first_too():
    """Policies see numbers from 0, as in training; the environment counts from its own first."""
    task = make_task("own_environments:Count-v0", num_seeds=1, run_seed=0)
    assert Predictor(Echo(), task).predict(np.array([7, 8, 9]))[0].tolist() == [0, 1, 2]


def normalised_run():
    """PPO with its observations normalised."""
    path = scratch() / "normalised"
    settings = short_run(128, environment="Pendulum-v1", seeds=1, eval_episodes=1)
    recipe = dataclasses.replace(settings.recipe, normalise_observation=True, normalise_reward=True)
    fit_settings(dataclasses.replace(settings, recipe=recipe), run_dir=path, quiet=True)
    return path


def test_normalisation_is_part_of_the_saved_policy():
    """What the network sees is (o − mean)/deviation with the statistics that were saved."""
    run = normalised_run()
    arrays = last_arrays(run)
    statistics = {n.split("/")[-1]: a[0] for n, a in arrays.items() if "learner/observation" in n}
    assert statistics["count"] > 100 and abs(statistics["mean"]).max() > 0.01
    deviation = np.sqrt(statistics["variance"])
    saved = SavedRun(run)
    policy = saved.policy()
    assert isinstance(policy, NormalisedPolicy)
    seen = np.array([[0.3, -0.9, 4.0], [1.0, 0.0, -2.0]], np.float32)
    normal = np.clip((seen - statistics["mean"]) / deviation, -10, 10)
    expected, _ = policy.inner(jnp.asarray(normal), ())
    action, _ = rtg.load(run).predict(seen)
    np.testing.assert_allclose(action, 2 * np.clip(expected.mode(), -1, 1), rtol=1e-3)


def test_a_seed_that_was_not_trained_is_named():
    with pytest.raises(ValueError, match="trained the seeds 0 to 1, not `seed` 2"):
        rtg.load(finished_run(), seed=2)


def test_the_best_policy_can_be_asked_for(tmp_path):
    assert rtg.load(finished_run(), best=True).predict(np.zeros(4))[0] in (0, 1)
    run = copy_of(finished_run(), tmp_path / "run")
    for path in checkpoint.finished(run / "best"):
        path.rename(run / "elsewhere")
    with pytest.raises(ValueError, match="no saved best policy"):
        rtg.load(run, best=True)


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="no run folder at"):
        rtg.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no settings\.json"):
        rtg.load(tmp_path)


def test_a_damaged_policy_is_named(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    newest = checkpoint.finished(run / "policy")[-1]
    flip_bit(newest / "arrays.safetensors")
    with pytest.raises(checkpoint.CheckpointError, match="is damaged"):
        rtg.load(run)


def test_settings_that_lack_something_are_named(tmp_path):
    run = copy_of(finished_run(), tmp_path / "run")
    (run / "settings.json").write_text('{"format": 2, "algorithm": "ppo"}')
    with pytest.raises(ValueError, match=r"settings\.json lacks 'environment_given'"):
        rtg.load(run)


def test_policies_of_seeds_differ():
    run = SavedRun(finished_run())
    leaves = [jax.tree.leaves(eqx.filter(run.policy(seed), eqx.is_array)) for seed in (0, 1)]
    assert not np.array_equal(leaves[0][0], leaves[1][0])
