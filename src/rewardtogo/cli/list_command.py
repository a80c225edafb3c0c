"""`rtg list`: what there is, and what goes with what."""

import dataclasses
from collections.abc import Sequence

import gymnasium as gym

from ..envs.registry import jax_environments, make
from ..recipes import RECIPES, TUNED
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class List:
    all: bool = False
    """Also every environment that Gymnasium has registered."""


def run(argv: Sequence[str]) -> int:
    """Print the tables."""
    options = parse(List, argv, prog="rtg list", description="Algorithms and environments.")
    print("Algorithms")
    for name, recipe in RECIPES.items():
        print(f"  {name:<12}{(recipe.__doc__ or '').splitlines()[0]}")
    print("\nEnvironments in JAX (environment and learning in one compiled program)")
    for name in jax_environments():
        space = make(name).action_space
        fitting = [a for a, recipe in RECIPES.items() if isinstance(space, recipe.action_spaces)]
        marks = [f"{a}*" if (a, name) in TUNED else a for a in fitting]
        kind = (
            f"Discrete({space.n})"
            if isinstance(space, gym.spaces.Discrete)
            else f"Box{space.shape}"
        )
        print(f"  {name:<28}{kind:<14}{', '.join(marks)}")
    print("  * with settings of its own; the others take the algorithm's general ones")
    print("\nAny Gymnasium environment with Box or Discrete spaces, by its name: LunarLander-v3, …")
    print("and your own: package.module:Name-v0 (Gymnasium), package.module:ClassName (JAX).")
    if options.all:
        for name in sorted(gym.registry):
            print(f"  {name}")
    else:
        print("rtg list --all names those that Gymnasium has registered.")
    return 0
