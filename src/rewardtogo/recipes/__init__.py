"""What a run of each algorithm is made of, and the defaults tuned for each environment.

A recipe is an algorithm's hyperparameters together with its networks and its source of batches;
every field is a flag of `rtg train`. A new algorithm is a file here, and a line in `RECIPES` and in
`TUNED`.
"""

from collections.abc import Mapping

from .. import validate
from . import dqn, ppo, reinforce, sac
from .dqn import DQNRecipe
from .ingredients import Ingredients as Ingredients
from .ppo import PPORecipe
from .reinforce import REINFORCERecipe
from .sac import SACRecipe


Recipe = DQNRecipe | PPORecipe | REINFORCERecipe | SACRecipe

RECIPES: dict[str, type[Recipe]] = {
    "dqn": DQNRecipe,
    "ppo": PPORecipe,
    "reinforce": REINFORCERecipe,
    "sac": SACRecipe,
}

_TUNED: dict[str, Mapping[str, Recipe]] = {
    "dqn": dqn.TUNED,
    "ppo": ppo.TUNED,
    "reinforce": reinforce.TUNED,
    "sac": sac.TUNED,
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
