"""The maximum over noisy values is too large; with two judges it is not."""

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.algorithms.dqn import DQN, ValueLoss
from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.recipes import DQNRecipe
from rewardtogo.sources.task import JaxTask
from rewardtogo.training.evaluate import make_evaluator
from rewardtogo.training.train import build_program, train


ACTIONS, MEAN, SEEDS = 10, -0.1, 4


class Lottery(AbstractEnvironment):
    """Two steps, ten actions each: the first earns 0, the second N(-0.1, 1); then it ends.

    Sutton and Barto (2018), example 6.7, with nothing to choose at first.
    """

    @property
    def observation_space(self):
        return gym.spaces.Box(0.0, 1.0, (2,), np.float32)

    @property
    def action_space(self):
        return gym.spaces.Discrete(ACTIONS)

    def reset(self, key):
        return (jnp.zeros((), jnp.int32), key), jax.nn.one_hot(0, 2)

    def step(self, state, action):
        time, key = state
        prize = MEAN + jr.normal(jr.fold_in(key, action))
        reward = jnp.where(time == 1, prize, 0.0)
        return (time + 1, key), Step(jax.nn.one_hot(1, 2), reward, time == 1, jnp.zeros((), bool))


def surplus(**settings):
    """Q̂ minus return of greedy episodes, a mean for each seed."""
    algorithm = DQN(
        discount=1.0,
        learning_rate=0.04,
        loss=ValueLoss.SQUARED,
        epsilon_updates=1,
        epsilon_end=1.0,
        target_period=50,
        **settings,
    )
    recipe = DQNRecipe(
        algorithm=algorithm, hidden=(), num_envs=64, num_steps=4, num_updates=64, batch_size=16
    )
    task = JaxTask("Lottery", Lottery(), SEEDS)
    loop, learning = recipe.build(task), recipe.algorithm
    program = build_program(loop, keys=jr.split(jr.key(0), SEEDS))
    *_, last = train(program, total_steps=10_000, report_every=10_000)
    arrays, static = eqx.partition(last.state.learner, eqx.is_array)
    policy_of = lambda arrays: learning.policy(eqx.combine(arrays, static))
    evaluate = make_evaluator(
        task, policy_of, num_seeds=SEEDS, num_episodes=5_000, discount=algorithm.discount
    )
    found = evaluate(arrays, 0).q_minus_return
    assert found is not None
    return found.mean(axis=1)


def test_one_network_believes_in_luck_and_two_do_not():
    plain, double, twin = surplus(), surplus(double=True), surplus(twin=True)
    assert plain.min() > 0.25
    assert double.mean() < plain.mean() / 2 and abs(twin.mean()) < plain.mean() / 2
