import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.envs.block import episode_seed
from rewardtogo.nn.distributions import Categorical
from rewardtogo.nn.policies import AbstractPolicy
from rewardtogo.runs.load import SavedRun
from rewardtogo.sources.task import Backend, make_task
from rewardtogo.training.evaluate import APART, make_evaluator
from short_runs import (
    compile_cache,  # noqa: F401
    finished_run,
)


BACKENDS: tuple[Backend, ...] = ("jax", "gymnasium")


class Always(AbstractPolicy):
    """One action as its mode; a sample would often be the other."""

    action: jax.Array

    def __call__(self, observation, memory):
        logits = jax.nn.one_hot(self.action, 2)
        return Categorical(jnp.broadcast_to(logits, (*observation.shape[:-1], 2))), memory

    def initial_carry(self):
        return ()


class Balance(AbstractPolicy):
    """Pushes to where the pole leans."""

    gain: jax.Array

    def __call__(self, observation, memory):
        lean = observation[..., 2] + self.gain * observation[..., 3]
        return Categorical(jnp.stack([-lean, lean], axis=-1)), memory

    def initial_carry(self):
        return ()


def evaluator(name, policy, *, num_seeds=2, num_episodes=7, run_seed=0, backend: Backend = "auto"):
    task = make_task(name, num_seeds=num_seeds, run_seed=run_seed, backend=backend)
    return make_evaluator(task, policy, num_seeds=num_seeds, num_episodes=num_episodes)


@pytest.mark.parametrize("name", ["own_environments:Line", "own_environments:Walk-v0"])
def test_the_mode_acts_and_each_seed_has_its_own_policy(name):
    """Right pays 1 in each of 20 steps, left nothing."""
    found = evaluator(name, Always)(jnp.array([0, 1]), 0)
    assert found.returns.tolist() == [[0.0] * 7, [20.0] * 7]
    assert found.lengths.tolist() == [[20] * 7] * 2


def scripted(gain, seeds):
    """Gymnasium's own CartPole under `Balance`, by hand."""
    env, returns = gym.make("CartPole-v1"), []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            action = int(observation[2] + gain * observation[3] > 0)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return returns


def test_host_episodes_are_those_of_gymnasium():
    """One environment an episode: seeds far from those of any training run."""
    gain = 0.0
    found = evaluator("CartPole-v1", Balance, num_seeds=1, backend="gymnasium")(
        jnp.array([gain]), 3
    )
    expected = scripted(gain, [episode_seed(3 + APART, i, 0) for i in range(7)])
    assert found.returns.tolist() == [expected]
    assert len(set(expected)) > 1


def test_long_episodes_count_as_much_as_short_ones():
    """25 episodes in 10 environments: three of each environment, whatever their lengths."""
    gain = 0.0
    found = evaluator("CartPole-v1", Balance, num_seeds=1, num_episodes=25, backend="gymnasium")(
        jnp.array([gain]), 0
    )
    seeds = [episode_seed(APART, i, e) for i in range(10) for e in range(3)]
    assert found.returns[0].tolist() == scripted(gain, seeds)[:25]


def test_jax_and_host_agree_in_distribution():
    returns = {
        backend: evaluator("CartPole-v1", Balance, num_seeds=1, num_episodes=100, backend=backend)(
            jnp.array([0.0]), 0
        ).returns[0]
        for backend in BACKENDS
    }
    means = [np.mean(r) for r in returns.values()]
    error = np.sqrt(sum(np.var(r) / len(r) for r in returns.values()))
    assert abs(means[0] - means[1]) < 4 * error


def test_evaluation_does_not_depend_on_the_training_seed():
    gain = jnp.array([0.0])
    for backend in BACKENDS:
        found = [
            evaluator("CartPole-v1", Balance, num_seeds=1, run_seed=seed, backend=backend)(gain, 0)
            for seed in (0, 9)
        ]
        assert np.array_equal(found[0].returns, found[1].returns)


def test_another_evaluation_seed_has_other_episodes():
    run = evaluator("CartPole-v1", Balance, num_seeds=1, num_episodes=20)
    first, second = (run(jnp.array([0.0]), seed).returns for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, run(jnp.array([0.0]), 0).returns)


def test_evaluation_keys_are_apart_from_those_of_training():
    """A seed's training keys are its key with small numbers folded in, and two large ones."""
    from rewardtogo.training.loop import ENVIRONMENTS, MODELS

    assert APART not in (ENVIRONMENTS, MODELS) and APART >= 2**31
    assert not jnp.array_equal(jr.key_data(jr.fold_in(jr.key(0), APART)), jr.key_data(jr.key(0)))


def test_a_saved_run_is_evaluated_afresh_and_repeatably():
    run = SavedRun(finished_run())
    first, again = (run.evaluate(num_episodes=4, seed=1) for _ in range(2))
    assert first == again
    assert first.steps == (640, 640) and first.seeds == (0, 1) and first.episodes == 4
