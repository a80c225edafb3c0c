"""Reinforcement learning in JAX, from exact solutions of small MDPs to deep policy gradients.

`rtg.fit` does a whole run, as the command `rtg train` does; everything it is made of can be used
one at a time: environments, policies, estimators, losses, algorithms, sources and `rtg.train`.
"""

from ._version import __version__
from .algorithms.dqn import DQN
from .algorithms.normalised import Normalised
from .algorithms.ppo import PPO
from .algorithms.reinforce import REINFORCE, Baseline
from .algorithms.sac import SAC
from .envs.registry import make
from .fit import fit
from .recipes import DQNRecipe, PPORecipe, REINFORCERecipe, SACRecipe, default_recipe
from .results import Result
from .saved import load
from .settings import RunSettings, Settings
from .sources.episodes import Episodes
from .sources.replay import Replay
from .sources.rollout import Rollout
from .train import Report, TrainingFault, build_program, train
from .worlds import make_world


__all__ = [
    "DQN",
    "PPO",
    "REINFORCE",
    "SAC",
    "Baseline",
    "DQNRecipe",
    "Episodes",
    "Normalised",
    "PPORecipe",
    "REINFORCERecipe",
    "Replay",
    "Report",
    "Result",
    "Rollout",
    "RunSettings",
    "SACRecipe",
    "Settings",
    "TrainingFault",
    "__version__",
    "build_program",
    "default_recipe",
    "fit",
    "load",
    "make",
    "make_world",
    "train",
]
