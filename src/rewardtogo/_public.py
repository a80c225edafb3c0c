"""What `import rewardtogo as rtg` offers, gathered from where it is written."""

from ._version import __version__ as __version__
from .algorithms.a2c import A2C as A2C, ReturnTarget as ReturnTarget
from .algorithms.actor_critic import OneStepActorCritic as OneStepActorCritic
from .algorithms.ddpg import DDPG as DDPG
from .algorithms.discrete_sac import DiscreteSAC as DiscreteSAC
from .algorithms.dpg import DPG as DPG, NextAction as NextAction
from .algorithms.dqn import DQN as DQN, ValueLoss as ValueLoss
from .algorithms.normalised import Normalised as Normalised
from .algorithms.npg import NPG as NPG
from .algorithms.off_policy_pg import (
    ImportanceWeights as ImportanceWeights,
    OffPolicyPG as OffPolicyPG,
)
from .algorithms.ppo import PPO as PPO
from .algorithms.reinforce import REINFORCE as REINFORCE, Baseline as Baseline
from .algorithms.sac import SAC as SAC
from .algorithms.sac_v import SACV as SACV
from .algorithms.td3 import TD3 as TD3
from .algorithms.trpo import TRPO as TRPO, Divergence as Divergence
from .approximation import features as features
from .approximation.controlling import (
    LinearControl as LinearControl,
    linear_control as linear_control,
)
from .approximation.environment_prediction import (
    EnvironmentPrediction as EnvironmentPrediction,
    LinearFunction as LinearFunction,
    NetworkFunction as NetworkFunction,
    predict_environment as predict_environment,
)
from .approximation.fixed_points import (
    monte_carlo_projection as monte_carlo_projection,
    on_policy_distribution as on_policy_distribution,
    td_fixed_point as td_fixed_point,
)
from .approximation.following import Followed as Followed, returns_from as returns_from
from .approximation.observations import state_observations as state_observations
from .approximation.off_policy import (
    GTD2 as GTD2,
    TDC as TDC,
    EmphaticTD as EmphaticTD,
    OffPolicyTD as OffPolicyTD,
)
from .approximation.off_policy_exact import OffPolicyCase as OffPolicyCase
from .approximation.off_policy_prediction import (
    OffPolicyPrediction as OffPolicyPrediction,
    off_policy_prediction as off_policy_prediction,
)
from .approximation.values import (
    linear_values as linear_values,
    network_values as network_values,
)
from .envs.history import History as History
from .envs.registry import make as make
from .exploration import Exploration as Exploration
from .fit import fit as fit
from .recipes import (
    A2CRecipe as A2CRecipe,
    ActorCriticRecipe as ActorCriticRecipe,
    DDPGRecipe as DDPGRecipe,
    DiscreteSACRecipe as DiscreteSACRecipe,
    DPGRecipe as DPGRecipe,
    DQNRecipe as DQNRecipe,
    NPGRecipe as NPGRecipe,
    OffPolicyPGRecipe as OffPolicyPGRecipe,
    PPORecipe as PPORecipe,
    REINFORCERecipe as REINFORCERecipe,
    SACRecipe as SACRecipe,
    SACVRecipe as SACVRecipe,
    TD3Recipe as TD3Recipe,
    TRPORecipe as TRPORecipe,
    default_recipe as default_recipe,
)
from .results import Result as Result
from .saved import load as load
from .settings import RunSettings as RunSettings, Settings as Settings
from .sources.episodes import Episodes as Episodes
from .sources.prioritised import PrioritisedReplay as PrioritisedReplay
from .sources.replay import Replay as Replay
from .sources.rollout import Rollout as Rollout
from .tabular.catalogue import problem as problem
from .tabular.empirical import empirical_mdp as empirical_mdp
from .tabular.garnet import garnet as garnet
from .tabular.mdp import TabularMDP as TabularMDP, tabular_mdp as tabular_mdp
from .tabular.problem import Change as Change, Problem as Problem
from .tabular.solution import Certificate as Certificate, Solution as Solution
from .tabular.solvers.solve import Method as Method, solve as solve
from .tabular.successors import (
    SuccessorMDP as SuccessorMDP,
    mdp_from_outcomes as mdp_from_outcomes,
    successor_mdp as successor_mdp,
)
from .td.averaging import Averaging as Averaging
from .td.certainty_equivalence import CertaintyEquivalence as CertaintyEquivalence
from .td.control import (
    DoubleQLearning as DoubleQLearning,
    ExpectedSarsa as ExpectedSarsa,
    QLearning as QLearning,
    Sarsa as Sarsa,
)
from .td.controlling import ControlResult as ControlResult, control as control
from .td.dyna import DynaQ as DynaQ, DynaQPlus as DynaQPlus
from .td.exploration import (
    BoltzmannExploration as BoltzmannExploration,
    EpsilonGreedyExploration as EpsilonGreedyExploration,
)
from .td.models import Frequencies as Frequencies, LastOutcome as LastOutcome
from .td.predicting import Prediction as Prediction, predict as predict
from .td.prediction import TD0 as TD0
from .td.prediction_monte_carlo import MonteCarlo as MonteCarlo, Visits as Visits
from .td.prediction_n_step import NStepTD as NStepTD
from .td.prediction_traces import TDLambda as TDLambda, Trace as Trace
from .td.step_sizes import (
    ConstantStepSize as ConstantStepSize,
    PolynomialStepSize as PolynomialStepSize,
)
from .train import (
    Report as Report,
    TrainingFault as TrainingFault,
    build_program as build_program,
    train as train,
)
from .worlds import make_world as make_world
