"""Finite Markov decision processes by name: the textbooks' examples, Gymnasium's, and files."""

import dataclasses
import difflib
import re
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import jax.random as jr

from ..mdp import check_discount
from .counterexamples import baird
from .files import SUFFIXES, read_mdp
from .gambling import blackjack, gambler
from .garnet import garnet
from .grids import gridworld_4x4, gridworld_5x5, slippery_grid, windy_gridworld
from .gymnasium_tables import gymnasium_names, gymnasium_problem
from .mazes import blocking_maze, blocking_maze_after, dyna_maze, shortcut_maze, shortcut_maze_after
from .problem import Problem, with_discount
from .stock import forest, jacks_car_rental
from .walks import chain, maximisation_bias, random_walk, river_swim, short_corridor


_NAMED: dict[str, Callable[[], Problem]] = {
    "Baird": baird,
    "Blackjack": blackjack,
    "BlockingMaze": blocking_maze,
    "BlockingMaze-after": blocking_maze_after,
    "Chain": chain,
    "DynaMaze": dyna_maze,
    "Forest": forest,
    "Gambler": gambler,
    "Gridworld-4x4": gridworld_4x4,
    "Gridworld-5x5": gridworld_5x5,
    "JacksCarRental": jacks_car_rental,
    "MaximisationBias": maximisation_bias,
    "RiverSwim": river_swim,
    "ShortCorridor": short_corridor,
    "ShortcutMaze": shortcut_maze,
    "ShortcutMaze-after": shortcut_maze_after,
    "WindyGridworld": windy_gridworld,
}


def _random_mdp(num_states: int, num_actions: int, branching: int) -> Problem:
    """A Garnet, the same at every call, whose learners are cut off after 200 steps."""
    mdp = garnet(
        num_states=num_states,
        num_actions=num_actions,
        branching=branching,
        discount=0.95,
        key=jr.key(0),
    )
    return Problem(
        name=f"Garnet-{num_states}-{num_actions}-{branching}",
        mdp=mdp,
        source="Archibald, McKinnon and Thomas (1995); seed 0",
        max_steps=200,
    )


@dataclasses.dataclass(frozen=True)
class _Family:
    """Problems of any size. `form`: the name, with # for each number. `shown`: those listed."""

    form: str
    build: Callable[..., Problem]
    shown: tuple[str, ...]

    def sizes(self, name: str) -> list[int] | None:
        match = re.fullmatch(self.form.replace("#", r"([1-9]\d{0,9})"), name)
        return None if match is None else [int(size) for size in match.groups()]


_FAMILIES = (
    _Family("RandomWalk-#", random_walk, ("RandomWalk-5", "RandomWalk-19")),
    _Family("RandomWalk-#-#", random_walk, ("RandomWalk-1000-100",)),
    _Family("SlipperyGrid-#x#", slippery_grid, ("SlipperyGrid-10x10",)),
    _Family("Garnet-#-#-#", _random_mdp, ("Garnet-20-4-3",)),
)


def problem(name: str, *, discount: float | None = None) -> Problem:
    """The MDP of that name, with what is needed to draw it and to learn on it.

    **Arguments:** `name`: one of `problem_names()`; "RandomWalk-N", "RandomWalk-N-J" (jumps up to
    J), "SlipperyGrid-RxC" or "Garnet-S-A-B" (states, actions, branching) for any whole numbers; a
    Gymnasium environment that publishes its table; or the path of a file, ending in .npz or .json,
    as `read_mdp` takes it. `discount`: γ; None for the problem's own.
    **Raises:** `ValueError` for an unknown name, with the nearest, and for a `discount` outside
    [0, 1].
    """
    if discount is not None:
        check_discount(discount)
    name = name.removeprefix("tabular:")  # as environments are called
    if name.endswith(SUFFIXES):
        mdp = read_mdp(name, discount=discount)
        return Problem(name=Path(name).stem, mdp=mdp, source=f"the file {name}")
    found = _built(name)
    return found if discount is None else with_discount(found, discount)


def problem_names() -> tuple[str, ...]:
    """The names that `problem` knows, sorted; of families that have a size, examples."""
    examples = [name for family in _FAMILIES for name in family.shown]
    return tuple(sorted([*_NAMED, *examples, *gymnasium_names()]))


def _built(name: str) -> Problem:
    if name in _NAMED:
        return _NAMED[name]()
    for family in _FAMILIES:
        sizes = family.sizes(name)
        if sizes is not None:
            return family.build(*sizes)
    if name in gym.registry or ":" in name:
        return gymnasium_problem(name)
    by_lower = {known.lower(): known for known in problem_names()}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ValueError(
        f"no problem is named {name!r}.{hint} Names: {', '.join(problem_names())}; the numbers in "
        "RandomWalk-N, RandomWalk-N-J, SlipperyGrid-RxC and Garnet-S-A-B may be others, and a path "
        f"that ends in {' or '.join(SUFFIXES)} is read as a file."
    )
