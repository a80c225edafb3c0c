"""What a run of each algorithm is made of, and the defaults tuned for each environment.

A new algorithm is a class here, in the file of those that gather as it does, and a name in
`RECIPES`; where its general settings fall short, `tuned.py` has others by environment.
"""

from .. import validate
from .base import AbstractRecipe as AbstractRecipe, ActingRecipe as ActingRecipe
from .episodic import OffPolicyPGRecipe as OffPolicyPGRecipe, REINFORCERecipe as REINFORCERecipe
from .replay import (
    DDPGRecipe as DDPGRecipe,
    DiscreteSACRecipe as DiscreteSACRecipe,
    DQNRecipe as DQNRecipe,
    SACRecipe as SACRecipe,
    SACVRecipe as SACVRecipe,
    TD3Recipe as TD3Recipe,
)
from .rollout import (
    A2CRecipe as A2CRecipe,
    ActorCriticRecipe as ActorCriticRecipe,
    DPGRecipe as DPGRecipe,
    NPGRecipe as NPGRecipe,
    PPORecipe as PPORecipe,
    TRPORecipe as TRPORecipe,
)
from .tuned import TUNED as TUNED


RECIPES: dict[str, type[ActingRecipe]] = {
    recipe.name: recipe
    for recipe in (
        A2CRecipe,
        ActorCriticRecipe,
        DDPGRecipe,
        DiscreteSACRecipe,
        DPGRecipe,
        DQNRecipe,
        NPGRecipe,
        OffPolicyPGRecipe,
        PPORecipe,
        REINFORCERecipe,
        SACRecipe,
        SACVRecipe,
        TD3Recipe,
        TRPORecipe,
    )
}


def default_recipe(algorithm: str, environment: str) -> ActingRecipe:
    """The tuned settings for this pair, or the algorithm's general ones."""
    validate.one_of("algorithm", algorithm, RECIPES)
    return TUNED.get((algorithm, environment), RECIPES[algorithm]())
