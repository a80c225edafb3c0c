"""Reinforcement learning in JAX, from exact solutions of small MDPs to deep policy gradients.

`rtg.fit` does a whole run, as the command `rtg train` does; everything it is made of can be used
one at a time: environments, policies, estimators, losses, algorithms, sources and `rtg.train`.
"""

# ruff: noqa: F405
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._version import __version__


if TYPE_CHECKING:
    from ._public import *  # noqa: F403


__all__ = [
    "A2C",
    "DDPG",
    "DPG",
    "DQN",
    "GTD2",
    "NPG",
    "PPO",
    "REINFORCE",
    "SAC",
    "SACV",
    "TD0",
    "TD3",
    "TDC",
    "TRPO",
    "A2CRecipe",
    "ActorCriticRecipe",
    "Averaging",
    "Baseline",
    "BoltzmannExploration",
    "CertaintyEquivalence",
    "Certificate",
    "Change",
    "ConstantStepSize",
    "ControlResult",
    "DDPGRecipe",
    "DPGRecipe",
    "DQNRecipe",
    "DiscreteSAC",
    "DiscreteSACRecipe",
    "Divergence",
    "DoubleQLearning",
    "DynaQ",
    "DynaQPlus",
    "EmphaticTD",
    "EnvironmentPrediction",
    "Episodes",
    "EpsilonGreedyExploration",
    "ExpectedSarsa",
    "Exploration",
    "Followed",
    "Frequencies",
    "History",
    "ImportanceWeights",
    "LastOutcome",
    "LinearControl",
    "LinearFunction",
    "Method",
    "MonteCarlo",
    "NPGRecipe",
    "NStepTD",
    "NetworkFunction",
    "NextAction",
    "Normalised",
    "OffPolicyCase",
    "OffPolicyPG",
    "OffPolicyPGRecipe",
    "OffPolicyPrediction",
    "OffPolicyTD",
    "OneStepActorCritic",
    "PPORecipe",
    "PolynomialStepSize",
    "Prediction",
    "PrioritisedReplay",
    "Problem",
    "QLearning",
    "REINFORCERecipe",
    "Replay",
    "Report",
    "Result",
    "ReturnTarget",
    "Rollout",
    "RunSettings",
    "SACRecipe",
    "SACVRecipe",
    "Sarsa",
    "Settings",
    "Solution",
    "SuccessorMDP",
    "TD3Recipe",
    "TDLambda",
    "TRPORecipe",
    "TabularMDP",
    "Trace",
    "TrainingFault",
    "ValueLoss",
    "Visits",
    "__version__",
    "build_program",
    "control",
    "default_recipe",
    "empirical_mdp",
    "features",
    "fit",
    "garnet",
    "linear_control",
    "linear_values",
    "load",
    "make",
    "make_world",
    "mdp_from_outcomes",
    "monte_carlo_projection",
    "network_values",
    "off_policy_prediction",
    "on_policy_distribution",
    "predict",
    "predict_environment",
    "problem",
    "returns_from",
    "solve",
    "state_observations",
    "successor_mdp",
    "tabular_mdp",
    "td_fixed_point",
    "train",
]


class _Lazy(ModuleType):
    """Imports the library when a name of it is first used: `rtg --help` should not wait for JAX."""

    def __getattr__(self, name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from . import _public

        for public in __all__:
            self.__dict__[public] = getattr(_public, public)
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        # To import the module `rewardtogo.train` must not hide the function of that name.
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *__all__})


sys.modules[__name__].__class__ = _Lazy
