"""What `import rewardtogo as rtg` offers, gathered from where it is written."""

from ._version import __version__ as __version__
from .algorithms.dqn import DQN as DQN
from .algorithms.normalised import Normalised as Normalised
from .algorithms.ppo import PPO as PPO
from .algorithms.reinforce import REINFORCE as REINFORCE, Baseline as Baseline
from .algorithms.sac import SAC as SAC
from .envs.registry import make as make
from .fit import fit as fit
from .recipes import (
    DQNRecipe as DQNRecipe,
    PPORecipe as PPORecipe,
    REINFORCERecipe as REINFORCERecipe,
    SACRecipe as SACRecipe,
    default_recipe as default_recipe,
)
from .results import Result as Result
from .saved import load as load
from .settings import RunSettings as RunSettings, Settings as Settings
from .sources.episodes import Episodes as Episodes
from .sources.replay import Replay as Replay
from .sources.rollout import Rollout as Rollout
from .train import (
    Report as Report,
    TrainingFault as TrainingFault,
    build_program as build_program,
    train as train,
)
from .worlds import make_world as make_world
