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
    from .algorithms import (
        A2C as A2C,
        DDPG as DDPG,
        DPG as DPG,
        DQN as DQN,
        NPG as NPG,
        PPO as PPO,
        REINFORCE as REINFORCE,
        SAC as SAC,
        SACV as SACV,
        TD3 as TD3,
        TRPO as TRPO,
        DiscreteSAC as DiscreteSAC,
        Normalised as Normalised,
        OffPolicyPG as OffPolicyPG,
        OneStepActorCritic as OneStepActorCritic,
    )
    from .envs.check import check as check
    from .envs.history import History as History
    from .envs.registry import make as make
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
    from .tabular import (
        TabularMDP as TabularMDP,
        garnet as garnet,
        problem as problem,
        solve as solve,
        tabular_mdp as tabular_mdp,
    )
    from .td import control as control, predict as predict
    from .training.loop import Loop as Loop
    from .training.train import (
        Report as Report,
        TrainingFault as TrainingFault,
        build_program as build_program,
        train as train,
    )
    from .types import Shared as Shared

    __version__: str


ROOMS = (
    "algorithms",
    "envs",
    "estimators",
    "lab",
    "losses",
    "nn",
    "optim",
    "recipes",
    "runs",
    "sources",
    "tabular",
    "td",
    "training",
)
"""What is not named here is reached by its room: `rtg.td.TDLambda`."""


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
    if name in ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name not in _homes():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(_homes()[name], __name__)
    globals()[name] = getattr(home, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes(), "__version__"})
