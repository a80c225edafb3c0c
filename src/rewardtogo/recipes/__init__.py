"""What a run of each algorithm is made of, and the defaults tuned for each environment.

A recipe is an algorithm's hyperparameters together with its networks and its source of batches;
every field is a flag of `rtg train`. A new algorithm is a file here, and a line in `RECIPES` and in
`TUNED`.
"""

from collections.abc import Mapping

from .. import validate
from . import (
    a2c,
    actor_critic,
    ddpg,
    discrete_sac,
    dpg,
    dqn,
    npg,
    off_policy_pg,
    ppo,
    reinforce,
    sac,
    sac_v,
    td3,
    trpo,
)
from .a2c import A2CRecipe
from .actor_critic import ActorCriticRecipe
from .ddpg import DDPGRecipe
from .discrete_sac import DiscreteSACRecipe
from .dpg import DPGRecipe
from .dqn import DQNRecipe
from .ingredients import Ingredients as Ingredients
from .npg import NPGRecipe
from .off_policy_pg import OffPolicyPGRecipe
from .ppo import PPORecipe
from .reinforce import REINFORCERecipe
from .sac import SACRecipe
from .sac_v import SACVRecipe
from .td3 import TD3Recipe
from .trpo import TRPORecipe


Recipe = (
    A2CRecipe
    | ActorCriticRecipe
    | DDPGRecipe
    | DiscreteSACRecipe
    | DPGRecipe
    | DQNRecipe
    | NPGRecipe
    | OffPolicyPGRecipe
    | PPORecipe
    | REINFORCERecipe
    | SACRecipe
    | SACVRecipe
    | TD3Recipe
    | TRPORecipe
)

RECIPES: dict[str, type[Recipe]] = {
    "a2c": A2CRecipe,
    "actor-critic": ActorCriticRecipe,
    "ddpg": DDPGRecipe,
    "discrete-sac": DiscreteSACRecipe,
    "dpg": DPGRecipe,
    "dqn": DQNRecipe,
    "npg": NPGRecipe,
    "off-policy-pg": OffPolicyPGRecipe,
    "ppo": PPORecipe,
    "reinforce": REINFORCERecipe,
    "sac": SACRecipe,
    "sac-v": SACVRecipe,
    "td3": TD3Recipe,
    "trpo": TRPORecipe,
}

_TUNED: dict[str, Mapping[str, Recipe]] = {
    "a2c": a2c.TUNED,
    "actor-critic": actor_critic.TUNED,
    "ddpg": ddpg.TUNED,
    "discrete-sac": discrete_sac.TUNED,
    "dpg": dpg.TUNED,
    "dqn": dqn.TUNED,
    "npg": npg.TUNED,
    "off-policy-pg": off_policy_pg.TUNED,
    "ppo": ppo.TUNED,
    "reinforce": reinforce.TUNED,
    "sac": sac.TUNED,
    "sac-v": sac_v.TUNED,
    "td3": td3.TUNED,
    "trpo": trpo.TUNED,
}

TUNED: Mapping[tuple[str, str], Recipe] = {
    (algorithm, environment): recipe
    for algorithm, tuned in _TUNED.items()
    for environment, recipe in tuned.items()
}
"""Settings by algorithm and environment, where the general ones fall short."""


def default_recipe(algorithm: str, environment: str) -> Recipe:
    """The tuned settings for this pair, or the algorithm's general ones."""
    validate.one_of("algorithm", algorithm, RECIPES)
    return TUNED.get((algorithm, environment), RECIPES[algorithm]())
