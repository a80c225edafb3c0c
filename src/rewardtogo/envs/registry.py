"""Names of the environments written in JAX, and how a user's own is found."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..tabular.problems.catalogue import problem
from .classic.acrobot import Acrobot
from .classic.cartpole import CartPole
from .classic.mountain_car import MountainCar
from .classic.mountain_car_continuous import MountainCarContinuous
from .classic.pendulum import Pendulum
from .linear_quadratic import LinearQuadratic
from .minatar.asterix import asterix
from .minatar.breakout import breakout
from .minatar.freeway import freeway
from .minatar.seaquest import seaquest
from .minatar.space_invaders import space_invaders
from .partial.cart_pole import cart_pole_positions
from .partial.t_maze import t_maze
from .protocol import AbstractEnvironment
from .tabular import environment_of
from .wrappers import TimeLimit


# Gymnasium's names, with its limits on the length of an episode: MinAtar registers none. Beside
# them our own: those that need a memory, one with its own limit, and one that is solved exactly.
_ENVIRONMENTS: dict[str, tuple[Callable[..., AbstractEnvironment], int | None]] = {
    "Acrobot-v1": (Acrobot, 500),
    "CartPole-v1": (CartPole, 500),
    "CartPolePositions-v1": (cart_pole_positions, 500),
    "LinearQuadratic-v0": (LinearQuadratic, 50),
    "MinAtar/Asterix-v1": (asterix, None),
    "MinAtar/Breakout-v1": (breakout, None),
    "MinAtar/Freeway-v1": (freeway, None),
    "MinAtar/Seaquest-v1": (seaquest, None),
    "MinAtar/SpaceInvaders-v1": (space_invaders, None),
    "MountainCar-v0": (MountainCar, 200),
    "MountainCarContinuous-v0": (MountainCarContinuous, 999),
    "Pendulum-v1": (Pendulum, 200),
    "TMaze-v0": (t_maze, None),
}

# "tabular:FrozenLake-v1" is the finite MDP of that name; no module of this name can be reached.
TABULAR = "tabular:"


def jax_environments() -> tuple[str, ...]:
    """Return the names that `make` knows, sorted."""
    return tuple(sorted(_ENVIRONMENTS))


def is_jax_environment(name: str) -> bool:
    """Whether `name` is one of `jax_environments()`, "tabular:NAME", or "package.module:ClassName".

    Gymnasium's "module:Name-v0" is not of the last form: it has a hyphen. Nothing is imported.
    """
    return name in _ENVIRONMENTS or name.startswith(TABULAR) or _is_path(name)


def make(name: str, env_args: Mapping[str, Any] = {}) -> AbstractEnvironment:
    """Make an environment written in JAX.

    **Arguments:** `name`: one of `jax_environments()`, which comes with Gymnasium's limit on time,
    if it has one, "tabular:NAME" for a finite MDP of the library or in a file, with the limit
    that `environment_of` says, or "package.module:ClassName" for one of your own, which comes as
    its class makes it. `env_args`: arguments of the environment's class; a finite MDP takes none.
    **Raises:** `ValueError` if the name is unknown, an argument is missing, unknown or refused,
    the module or class is not there, or what it makes is not an `AbstractEnvironment`.
    """
    if name.startswith(TABULAR):
        return _construct(name, lambda: _tabular(name.removeprefix(TABULAR)), env_args)
    if ":" in name:
        found = _imported(name)
        if isinstance(found, type):
            _require_environment(name, found)
        environment = _construct(name, found, env_args)
        _require_environment(name, type(environment))
        return environment
    if name not in _ENVIRONMENTS:
        raise ValueError(
            f"no JAX environment is named {name!r}.{_suggestion(name, _ENVIRONMENTS)} Names: "
            f'{", ".join(jax_environments())}, or "package.module:ClassName" for your own.'
        )
    constructor, max_steps = _ENVIRONMENTS[name]
    environment = _construct(name, constructor, env_args)
    return environment if max_steps is None else TimeLimit(environment, max_steps)


def named_object(name: str) -> Callable[..., Any] | None:
    """The class or function behind "package.module:Name"; None where the name is of another form.

    **Raises:** `ValueError` if the module, or what is named in it, is not there.
    """
    return _imported(name) if _is_path(name) and not name.startswith(TABULAR) else None


def make_given(environment: Any, env_args: Mapping[str, Any] = {}) -> AbstractEnvironment:
    """An environment in JAX that was given as an object, or as its class."""
    if isinstance(environment, type):
        return _construct(environment.__name__, environment, env_args)
    if env_args:
        raise ValueError(f"`env_args` {dict(env_args)} are for a class or a name, not an object.")
    return environment


def is_jax_object(environment: Any) -> bool:
    """Whether it is an environment written in JAX, or a class of them."""
    kind = environment if isinstance(environment, type) else type(environment)
    return issubclass(kind, AbstractEnvironment)


def _construct(name: str, constructor: Callable[..., Any], env_args: Mapping[str, Any]) -> Any:
    signature = inspect.signature(constructor)
    try:
        signature.bind(**env_args)
    except TypeError as error:
        allowed = ", ".join(signature.parameters) or "none"
        raise ValueError(f"env_args of {name!r}: {error}; its arguments: {allowed}.") from None
    return constructor(**env_args)


def _tabular(name: str) -> TimeLimit:
    try:
        found = problem(name)
    except OSError as error:
        raise ValueError(f"{TABULAR}{name} cannot be read: {error.strerror}.") from error
    try:
        return environment_of(found)
    except ValueError as error:
        raise ValueError(f"problem {name!r}: {error}") from error


def _is_path(name: str) -> bool:
    module_name, _, class_name = name.partition(":")
    return all(part.isidentifier() for part in [*module_name.split("."), class_name])


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, class_name = name.partition(":")
    if not _is_path(name):
        raise ValueError(f'{name!r} is not of the form "package.module:ClassName".')
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there but lacks something of its own says so better itself.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{name!r}: there is no module {error.name!r} on the import path."
        ) from error
    found = vars(module).get(class_name)
    if not callable(found):
        raise ValueError(
            f"{name!r}: the module has no class {class_name!r}."
            f"{_suggestion(class_name, vars(module))}"
        )
    return found


def _require_environment(name: str, made: type) -> None:
    if not issubclass(made, AbstractEnvironment):
        raise ValueError(
            f"{name!r} makes a {made.__name__}, "
            "which is not a rewardtogo.envs.protocol.AbstractEnvironment."
        )


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), names, n=1)
    return f" Did you mean {names[close[0]]!r}?" if close else ""
