"""Each algorithm, built by its recipe, finds the known best policy of a probe within seconds."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.a2c import A2C
from rewardtogo.algorithms.actor_critic import OneStepActorCritic
from rewardtogo.algorithms.discrete_sac import DiscreteSAC
from rewardtogo.algorithms.dqn import DQN
from rewardtogo.algorithms.off_policy_pg import OffPolicyPG
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.algorithms.reinforce import REINFORCE
from rewardtogo.algorithms.sac import SAC
from rewardtogo.algorithms.sac_v import SACV
from rewardtogo.envs.probes import Chain, ContinuousTarget
from rewardtogo.envs.wrappers import ScaledActions, TimeLimit
from rewardtogo.nn.exploration import Exploration
from rewardtogo.recipes import (
    A2CRecipe,
    ActorCriticRecipe,
    DiscreteSACRecipe,
    DQNRecipe,
    OffPolicyPGRecipe,
    PPORecipe,
    REINFORCERecipe,
    SACRecipe,
    SACVRecipe,
)
from rewardtogo.sources.task import JaxTask
from rewardtogo.training.train import build_program, train


LENGTH = 4
CHAIN = TimeLimit(Chain(LENGTH), 12)
TARGET = ScaledActions(ContinuousTarget())

PPO_RECIPE = PPORecipe(
    algorithm=PPO(learning_rate=1e-2, discount=0.9), num_envs=4, num_steps=32, hidden=(8,)
)
CHAIN_RECIPES = {
    "a2c": A2CRecipe(algorithm=A2C(learning_rate=1e-2, discount=0.9), num_envs=4, hidden=(8,)),
    "ppo": PPO_RECIPE,
    "actor-critic": ActorCriticRecipe(
        algorithm=OneStepActorCritic(learning_rate=1e-2, critic_learning_rate=1e-2, discount=0.9),
        num_envs=4,
        hidden=(8,),
    ),
    "off-policy-pg": OffPolicyPGRecipe(algorithm=OffPolicyPG(learning_rate=3e-2), hidden=(8,)),
    "reinforce": REINFORCERecipe(algorithm=REINFORCE(learning_rate=3e-2), hidden=(8,)),
    "dqn": DQNRecipe(
        algorithm=DQN(learning_rate=1e-2, discount=0.9, target_period=20, epsilon_updates=300),
        buffer_size=2000,
        learning_starts=100,
        hidden=(8,),
    ),
    "dqn-twin-dueling-boltzmann": DQNRecipe(
        algorithm=DQN(
            learning_rate=1e-2,
            discount=0.9,
            target_period=20,
            twin=True,
            exploration=Exploration.BOLTZMANN,
            temperature_end=0.01,
            temperature_updates=300,
        ),
        buffer_size=2000,
        learning_starts=100,
        hidden=(8, 8),
        dueling=True,
    ),
    "discrete-sac": DiscreteSACRecipe(
        algorithm=DiscreteSAC(
            learning_rate=1e-2, discount=0.9, polyak_rate=0.05, target_entropy_fraction=0.1
        ),
        buffer_size=2000,
        learning_starts=100,
        hidden=(8,),
    ),
}
SAC_RECIPE = SACRecipe(
    algorithm=SAC(learning_rate=1e-2),
    num_updates=2,
    batch_size=32,
    buffer_size=1000,
    learning_starts=100,
    hidden=(8,),
    activation="tanh",
)
SAC_V_RECIPE = SACVRecipe(
    algorithm=SACV(learning_rate=1e-2, temperature=0.02),
    num_updates=2,
    batch_size=32,
    buffer_size=1000,
    learning_starts=100,
    hidden=(8,),
    activation="tanh",
)
TARGET_RECIPES = {
    "ppo": (dataclasses.replace(PPO_RECIPE, initial_log_std=-1.0), 9000),
    "sac": (SAC_RECIPE, 900),
    "sac-v": (SAC_V_RECIPE, 1500),
}


def trained(recipe, env, total_steps):
    """The algorithm's policy, and the returns that the last report saw."""
    loop = recipe.build(JaxTask("Probe", env, 1))
    program = build_program(loop, keys=jr.split(jr.key(0), 1))
    training = train(program, total_steps=total_steps, report_every=total_steps // 3)
    report = list(training)[-1]
    assert report.finished
    state = jax.tree.map(lambda x: x[0], report.state.learner)
    return loop.learner.policy(state), report.metrics


@pytest.mark.parametrize("name", CHAIN_RECIPES)
def test_the_chain_is_walked_to_its_end(name):
    """Right at every place; what acts while learning is nearly as good."""
    policy, metrics = trained(CHAIN_RECIPES[name], CHAIN, 3000)
    distribution, _ = policy(jnp.eye(LENGTH)[: LENGTH - 1], ())
    assert np.array_equal(distribution.mode(), np.ones(LENGTH - 1))
    assert metrics["rollout/ep_rew_mean"] > 0.97 and metrics["rollout/ep_len_mean"] < 4.5


@pytest.mark.parametrize("name", TARGET_RECIPES)
def test_the_target_is_answered(name):
    """Half of what is seen, within a tenth."""
    recipe, steps = TARGET_RECIPES[name]
    policy, metrics = trained(recipe, TARGET, steps)
    seen = jnp.linspace(-0.9, 0.9, 7)[:, None]
    answer = policy(seen, ())[0].mode()
    assert np.allclose(answer, seen / 2, atol=0.1)
    assert metrics["rollout/ep_rew_mean"] > -0.1
