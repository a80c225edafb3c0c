"""How an environment is found among those that Gymnasium has registered."""

import contextlib
import difflib
import importlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym


def require_known(name: str) -> None:
    """Raise `ValueError`, with the nearest spelling, unless Gymnasium has `name` registered.

    The module in "package.module:Name-v0" is imported.
    """
    module, colon, registered = name.rpartition(":")
    if colon:
        _import(name, module)
    if registered in gym.registry:
        return
    by_lower = {known.lower(): known for known in gym.registry}
    near = difflib.get_close_matches(registered.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ValueError(
        f"Gymnasium has no environment {registered!r}.{hint} One of your own is named "
        '"package.module:Name-v0", where importing the module registers it.'
    )


def made(name: str, env_args: Mapping[str, Any] = {}) -> gym.Env:
    """Make a registered environment, without Gymnasium's checks and without its warnings."""
    with quietly():
        return gym.make(name, disable_env_checker=True, **env_args)


def time_limit(env: gym.Env) -> int | None:
    """Return the length at which episodes are cut, where the environment's spec states one."""
    return None if env.spec is None else env.spec.max_episode_steps


def _import(name: str, module: str) -> None:
    try:
        with quietly():
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there but lacks something of its own says so better itself.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{name!r}: there is no module {error.name!r} on the import path."
        ) from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence what making an environment warns of: old versions, old C extensions, old APIs."""
    with warnings.catch_warnings():
        # Box2D's extension crashes the interpreter where these are turned into errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"\x1b\[33mWARN", category=UserWarning)
        yield
