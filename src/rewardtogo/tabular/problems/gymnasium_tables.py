"""The tables of Gymnasium's environments that have one: those of its toy-text collection."""

import contextlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from ..successors import Outcome, SuccessorMDP, mdp_from_outcomes
from .gymnasium_registry import made, require_known, time_limit
from .problem import Grid, Problem


_TOY_TEXT = "gymnasium.envs.toy_text"
_UP, _RIGHT, _DOWN, _LEFT = (-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)
_ACTIONS: dict[str | None, tuple[str, ...]] = {
    "frozen_lake": ("left", "down", "right", "up"),
    "cliffwalking": ("up", "right", "down", "left"),
    "taxi": ("south", "north", "east", "west", "pick up", "drop off"),
}
_MOVES: dict[str | None, tuple[tuple[float, float], ...]] = {
    "frozen_lake": (_LEFT, _DOWN, _RIGHT, _UP),
    "cliffwalking": (_UP, _RIGHT, _DOWN, _LEFT),
}


def gymnasium_names() -> tuple[str, ...]:
    """The toy-text environments with a table, in the versions that are installed."""
    return tuple(name for name, spec in gym.registry.items() if _kind(spec) in _ACTIONS)


def gymnasium_problem(name: str) -> Problem:
    """The MDP behind a Gymnasium environment that publishes its table.

    That is one with `P[s][a]`, a list of (probability, successor, reward, terminated), and
    `initial_state_distrib`. Where the table enters a state both with and without an end of the
    episode, the MDP has one state more, its last.

    **Raises:** `ValueError` if Gymnasium does not know `name`, cannot make it, or it has no table.
    """
    with contextlib.closing(_made(name)) as env:
        base: Any = env.unwrapped
        table = getattr(base, "P", None)
        initial = getattr(base, "initial_state_distrib", None)
        if table is None or initial is None:
            raise ValueError(
                f"Gymnasium's {name!r} publishes no table of its dynamics: it lacks `P` or "
                "`initial_state_distrib`. Prediction and exact solutions are for finite MDPs, "
                "which `rtg list` shows; in an environment written in JAX learns `rtg control "
                "METHOD NAME --features tiles`, in all `rtg train`."
            )
        kind = _kind(env.spec)
        discount = 1.0 if kind in ("cliffwalking", "taxi") else 0.99
        mdp = mdp_from_outcomes(_lists(name, table), np.asarray(initial), discount=discount)
        return Problem(
            name=name,
            mdp=mdp,
            source=f"Gymnasium {gym.__version__}, {name}",
            actions=_ACTIONS.get(kind, ()),
            grid=_grid(kind, base, mdp),
            max_steps=time_limit(env),
        )


def _made(name: str) -> gym.Env:
    require_known(name)
    try:
        return made(name)
    except (gym.error.Error, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"Gymnasium's {name!r} could not be made: {error}") from error


def _lists(name: str, table: Any) -> list[list[list[Outcome]]]:
    """The table with numbers of one type each, as Gymnasium's own are not."""
    try:
        return [
            [
                [(float(p), int(to), float(r), bool(end)) for p, to, r, end in table[s][a]]
                for a in range(len(table[s]))
            ]
            for s in range(len(table))
        ]
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(
            f"Gymnasium's {name!r}: `P[state][action]` must list (probability, successor, reward, "
            f"terminated); got {error!r}."
        ) from error


def _kind(spec: EnvSpec | None) -> str | None:
    """The module of a toy-text environment, None for any other environment."""
    entry = "" if spec is None else str(spec.entry_point)
    package, _, module = entry.partition(":")[0].rpartition(".")
    return module if package == _TOY_TEXT else None


def _grid(kind: str | None, env: Any, mdp: SuccessorMDP) -> Grid | None:
    if kind not in _MOVES:
        return None
    rows, columns = env.desc.shape if kind == "frozen_lake" else env.shape
    cell = np.arange(mdp.num_states)
    cell[rows * columns :] = -1
    return Grid(shape=(int(rows), int(columns)), cell=cell, moves=_MOVES[kind])
