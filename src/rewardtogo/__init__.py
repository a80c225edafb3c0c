"""Reinforcement learning in JAX, from exact solutions of small MDPs to deep policy gradients.

`rtg.fit` does a whole run, as the command `rtg train` does; everything it is made of can be used
one at a time: environments, policies, estimators, losses, algorithms, sources and `rtg.train`.
"""

import ast
import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
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
    from .envs.check import check as check
    from .envs.history import History as History
    from .envs.registry import make as make
    from .nn.exploration import Exploration as Exploration
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
    from .runs.fit import fit as fit
    from .runs.load import evaluate as evaluate, load as load
    from .runs.result import Result as Result
    from .sources.buffers.dataset import Dataset as Dataset
    from .sources.buffers.latest import Latest as Latest
    from .sources.buffers.prioritised import PrioritisedReplay as PrioritisedReplay
    from .sources.buffers.replay import Replay as Replay
    from .sources.collectors.absent import NoCollector as NoCollector
    from .sources.collectors.episodes import Episodes as Episodes
    from .sources.collectors.rollout import Rollout as Rollout
    from .sources.protocol import Source as Source, Warmup as Warmup
    from .sources.task import make_task as make_task
    from .tabular.empirical import empirical_mdp as empirical_mdp
    from .tabular.mdp import TabularMDP as TabularMDP, tabular_mdp as tabular_mdp
    from .tabular.problems.catalogue import problem as problem
    from .tabular.problems.garnet import garnet as garnet
    from .tabular.problems.problem import Change as Change, Problem as Problem
    from .tabular.solvers.solution import Certificate as Certificate, Solution as Solution
    from .tabular.solvers.solve import Method as Method, solve as solve
    from .tabular.successors import (
        SuccessorMDP as SuccessorMDP,
        mdp_from_outcomes as mdp_from_outcomes,
        successor_mdp as successor_mdp,
    )
    from .td.control.certainty_equivalence import CertaintyEquivalence as CertaintyEquivalence
    from .td.control.dyna import DynaQ as DynaQ, DynaQPlus as DynaQPlus
    from .td.control.linear_run import (
        LinearControl as LinearControl,
        linear_control as linear_control,
    )
    from .td.control.one_step import (
        DoubleQLearning as DoubleQLearning,
        ExpectedSarsa as ExpectedSarsa,
        QLearning as QLearning,
        Sarsa as Sarsa,
    )
    from .td.control.run import ControlResult as ControlResult, control as control
    from .td.off_policy.exact import OffPolicyCase as OffPolicyCase
    from .td.off_policy.methods import (
        GTD2 as GTD2,
        TDC as TDC,
        EmphaticTD as EmphaticTD,
        OffPolicyTD as OffPolicyTD,
    )
    from .td.off_policy.run import (
        OffPolicyPrediction as OffPolicyPrediction,
        off_policy_prediction as off_policy_prediction,
    )
    from .td.prediction.averaging import Averaging as Averaging
    from .td.prediction.environment_run import (
        EnvironmentPrediction as EnvironmentPrediction,
        LinearFunction as LinearFunction,
        NetworkFunction as NetworkFunction,
        predict_environment as predict_environment,
    )
    from .td.prediction.fixed_policy import (
        FixedPolicyEnvironment as FixedPolicyEnvironment,
        returns_from as returns_from,
    )
    from .td.prediction.monte_carlo import MonteCarlo as MonteCarlo, Visits as Visits
    from .td.prediction.n_step import NStepTD as NStepTD
    from .td.prediction.one_step import TD0 as TD0
    from .td.prediction.run import Prediction as Prediction, predict as predict
    from .td.prediction.traces import TDLambda as TDLambda, Trace as Trace
    from .td.steps.exploration import (
        BoltzmannExploration as BoltzmannExploration,
        EpsilonGreedyExploration as EpsilonGreedyExploration,
    )
    from .td.steps.models import Frequencies as Frequencies, LastOutcome as LastOutcome
    from .td.steps.step_sizes import (
        ConstantStepSize as ConstantStepSize,
        PolynomialStepSize as PolynomialStepSize,
    )
    from .td.values import features as features
    from .td.values.fixed_points import (
        monte_carlo_projection as monte_carlo_projection,
        on_policy_distribution as on_policy_distribution,
        td_fixed_point as td_fixed_point,
    )
    from .td.values.observations import state_observations as state_observations
    from .td.values.state_values import (
        linear_values as linear_values,
        network_values as network_values,
    )
    from .training.loop import Loop as Loop
    from .training.train import (
        Report as Report,
        TrainingFault as TrainingFault,
        build_program as build_program,
        train as train,
    )
    from .types import Shared as Shared

    __version__: str


@functools.cache
def _homes() -> dict[str, str]:
    """The module of each public name, as the imports above say: what a type checker sees is so."""
    (block,) = (
        node for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.If)
    )
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {name.name: f".{node.module}" for node in imports for name in node.names}


def __getattr__(name: str) -> Any:
    """Import what is used, when it is first used: `rtg --help` should not wait for JAX."""
    if name == "__all__":
        return [*_homes(), "__version__"]
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("rewardtogo")
    if name not in _homes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_homes()[name], __name__)
    globals()[name] = getattr(home, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes(), "__version__"})
