"""Who learns? One file an algorithm; what they share is beside them."""

from .a2c import A2C as A2C, ReturnTarget as ReturnTarget
from .actor_critic import OneStepActorCritic as OneStepActorCritic
from .ddpg import DDPG as DDPG
from .discrete_sac import DiscreteSAC as DiscreteSAC
from .dpg import DPG as DPG, NextAction as NextAction
from .dqn import DQN as DQN, Exploration as Exploration, ValueLoss as ValueLoss
from .normalised import Normalised as Normalised
from .npg import NPG as NPG
from .off_policy_pg import ImportanceWeights as ImportanceWeights, OffPolicyPG as OffPolicyPG
from .ppo import PPO as PPO, AdvantageScale as AdvantageScale, Objective as Objective
from .protocol import (
    AbstractAlgorithm as AbstractAlgorithm,
    AbstractErrorLearner as AbstractErrorLearner,
    AbstractLearner as AbstractLearner,
)
from .reinforce import REINFORCE as REINFORCE, Baseline as Baseline
from .sac import SAC as SAC
from .sac_v import SACV as SACV
from .td3 import TD3 as TD3
from .trpo import TRPO as TRPO, Divergence as Divergence
