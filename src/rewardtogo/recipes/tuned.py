"""The settings tuned for each environment, where an algorithm's general ones fall short."""

from collections.abc import Mapping

from ..algorithms.actor_critic import OneStepActorCritic
from ..algorithms.discrete_sac import DiscreteSAC
from ..algorithms.dpg import DPG
from ..algorithms.dqn import DQN, ValueLoss
from ..algorithms.ppo import PPO
from ..algorithms.reinforce import REINFORCE
from ..algorithms.sac import SAC
from ..algorithms.sac_v import SACV
from ..algorithms.td3 import TD3
from ..algorithms.trpo import TRPO
from .base import ActingRecipe
from .episodic import REINFORCERecipe
from .replay import DDPGRecipe, DiscreteSACRecipe, DQNRecipe, SACRecipe, SACVRecipe, TD3Recipe
from .rollout import ActorCriticRecipe, DPGRecipe, NPGRecipe, PPORecipe, TRPORecipe


# A board of 10 × 10 flattened: on a CPU convolutions take three times as long for the same step.
GAMES = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
_MINATAR = PPORecipe(
    algorithm=PPO(learning_rate=5e-3, num_minibatches=8, entropy_coef=0.01, anneal_updates=1221),
    num_envs=64,
    activation="relu",
    conv_channels=(),
    total_steps=10_000_000,
)


_PPO: Mapping[str, ActingRecipe] = {
    "CartPole-v1": PPORecipe(algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01), num_envs=4),
    # Policy and value share the memory: unless rewards are scaled down, the error of the value is
    # all that the gradient, whose norm is limited, has room for.
    "CartPolePositions-v1": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01),
        num_envs=32,
        hidden=(64,),
        recurrent_size=64,
        normalise_observation=True,
        normalise_reward=True,
        total_steps=1_000_000,
    ),
    "Acrobot-v1": PPORecipe(algorithm=PPO(entropy_coef=0.01)),
    # The reward's scale is far from one here, and late in training the step must shrink: without
    # annealing the divergence grows as σ falls, and seeds come apart.
    "Pendulum-v1": PPORecipe(
        algorithm=PPO(
            learning_rate=1e-3, discount=0.9, num_epochs=10, num_minibatches=32, anneal_updates=147
        ),
        num_envs=4,
        num_steps=512,
        normalise_reward=True,
        total_steps=300_000,
    ),
    "TMaze-v0": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.01),
        num_envs=64,
        hidden=(64,),
        recurrent_size=64,
        normalise_reward=True,
        total_steps=2_000_000,
    ),
    **{f"MinAtar/{game}-v1": _MINATAR for game in GAMES},
    # Falls teach to stay away from the cliff long before the goal is found beyond it: only a strong
    # entropy bonus, against rewards of deviation one, goes on exploring.
    "tabular:CliffWalking-v1": PPORecipe(
        algorithm=PPO(learning_rate=1e-3, entropy_coef=0.2),
        num_envs=16,
        normalise_reward=True,
        total_steps=150_000,
    ),
}

_ACTOR_CRITIC: Mapping[str, ActingRecipe] = {
    "tabular:FrozenLake-v1": ActorCriticRecipe(algorithm=OneStepActorCritic(entropy_coef=0.01)),
}

_NPG: Mapping[str, ActingRecipe] = {"CartPole-v1": NPGRecipe(num_envs=4)}

_TRPO: Mapping[str, ActingRecipe] = {
    "CartPole-v1": TRPORecipe(num_envs=4, total_steps=100_000),
    # The reward's scale is far from one here, and as σ falls the Fisher matrix grows with 1/σ²:
    # less damping kept the seeds together.
    "Pendulum-v1": TRPORecipe(
        algorithm=TRPO(discount=0.9, damping=0.01),
        num_envs=4,
        num_steps=512,
        normalise_reward=True,
        total_steps=300_000,
    ),
}

_REINFORCE: Mapping[str, ActingRecipe] = {
    "tabular:FrozenLake-v1": REINFORCERecipe(algorithm=REINFORCE(entropy_coef=0.01)),
}

_DQN: Mapping[str, ActingRecipe] = {
    # A fall is rare and worth −100: the Huber loss with its usual δ = 1 holds such an error for an
    # outlier, values beyond the track's edge stay above 1/(1−γ), and the cart rolls off.
    "CartPole-v1": DQNRecipe(
        algorithm=DQN(
            target_period=128,
            epsilon_updates=4_000,
            epsilon_end=0.04,
            loss=ValueLoss.SQUARED,
            anneal_updates=50_000,
        ),
        num_envs=1,
        num_steps=256,
        num_updates=128,
        normalise_observation=True,
    ),
    # An update for every eight steps, on a flat network: convolutions cost several times as much.
    "MinAtar/Breakout-v1": DQNRecipe(
        algorithm=DQN(
            learning_rate=3e-4, target_period=250, epsilon_end=0.02, epsilon_updates=25_000
        ),
        num_envs=8,
        num_steps=8,
        num_updates=8,
        conv_channels=(),
        total_steps=2_000_000,
    ),
}

_DISCRETE_SAC: Mapping[str, ActingRecipe] = {
    # Updates are fewer than steps: with the usual ρ values are still half of what they should be
    # at the end.
    "CartPole-v1": DiscreteSACRecipe(
        algorithm=DiscreteSAC(learning_rate=1e-3, polyak_rate=0.02), normalise_observation=True
    ),
}

_SAC: Mapping[str, ActingRecipe] = {
    "Pendulum-v1": SACRecipe(
        algorithm=SAC(learning_rate=1e-3), buffer_size=20_000, total_steps=20_000
    ),
}

_SAC_V: Mapping[str, ActingRecipe] = {
    # Small networks are enough, at a seventh of the time.
    "Pendulum-v1": SACVRecipe(
        algorithm=SACV(learning_rate=1e-3),
        batch_size=128,
        buffer_size=20_000,
        hidden=(64, 64),
        total_steps=20_000,
    ),
}

_TD3: Mapping[str, ActingRecipe] = {
    # The slow copies move at every second update only: with the usual ρ some seeds were late.
    # Small networks are enough, at a seventh of the time.
    "Pendulum-v1": TD3Recipe(
        algorithm=TD3(polyak_rate=0.01),
        batch_size=128,
        buffer_size=20_000,
        hidden=(64, 64),
        total_steps=20_000,
    ),
}

_DDPG: Mapping[str, ActingRecipe] = {
    # Small networks are enough, at an eighth of the time.
    "Pendulum-v1": DDPGRecipe(
        batch_size=128, buffer_size=20_000, hidden=(64, 64), total_steps=20_000
    ),
}

_DPG: Mapping[str, ActingRecipe] = {
    "LinearQuadratic-v0": DPGRecipe(
        algorithm=DPG(discount=0.95, natural=True, learning_rate=0.03), total_steps=100_000
    ),
    # A policy of 20 numbers swings up; longer rollouts keep the critic's 55 unknowns steady.
    "Pendulum-v1": DPGRecipe(
        algorithm=DPG(discount=0.95, natural=True, learning_rate=0.03, exploration_noise=0.5),
        num_envs=32,
        policy_degree=3,
        value_degree=4,
    ),
}

TUNED: Mapping[tuple[str, str], ActingRecipe] = {
    (recipe.name, environment): recipe
    for tuned in (
        _PPO,
        _ACTOR_CRITIC,
        _NPG,
        _TRPO,
        _REINFORCE,
        _DQN,
        _DISCRETE_SAC,
        _SAC,
        _SAC_V,
        _TD3,
        _DDPG,
        _DPG,
    )
    for environment, recipe in tuned.items()
}
"""Settings by algorithm and environment."""
