"""`rtg list`: what there is, and what goes with what."""

import dataclasses
import textwrap
from collections.abc import Sequence

import gymnasium as gym

from ..envs.registry import TABULAR, jax_environments, make
from ..recipes import RECIPES, TUNED
from ..tabular.problems.catalogue import problem_names
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class List:
    """Algorithms and environments."""

    all: bool = False
    """Also every environment that Gymnasium has registered."""


def run(argv: Sequence[str]) -> int:
    """Print the tables."""
    options = parse(List, argv, prog="rtg list")
    print("Algorithms")
    width = max(map(len, RECIPES)) + 2
    for name, recipe in RECIPES.items():
        print(f"  {name:<{width}}{(recipe.__doc__ or '').splitlines()[0]}")
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
    _print_problems()
    print("\nAny Gymnasium environment with Box or Discrete spaces, by its name: LunarLander-v3, …")
    print("and your own: package.module:Name-v0 (Gymnasium), package.module:ClassName (JAX).")
    if options.all:
        for name in sorted(gym.registry):
            print(f"  {name}")
    else:
        print("rtg list --all names those that Gymnasium has registered.")
    return 0


def _print_problems() -> None:
    fitting = [a for a, recipe in RECIPES.items() if gym.spaces.Discrete in recipe.action_spaces]
    print(f"\nFinite MDPs in JAX, as {TABULAR}NAME or {TABULAR}FILE.npz ({', '.join(fitting)})")
    names = ", ".join(problem_names())
    print(textwrap.fill(names, 100, initial_indent="  ", subsequent_indent="  "))
    tuned = [f"{a} {name}" for a, name in TUNED if name.startswith(TABULAR)]
    if tuned:
        print(
            textwrap.fill(f"with settings of its own: {', '.join(tuned)}", 100, initial_indent="  ")
        )
