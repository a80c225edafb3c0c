"""How a Gymnasium environment is found and made, and which ones are refused."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from ..spaces import ACTION_MASK, flattened, is_flat_dict
from ..tabular.problems.gymnasium_registry import made, quietly, require_known
from .history import NO_HISTORY, History


@dataclass(frozen=True)
class HostFactory:
    """Makes a Gymnasium environment, of a name or of one's own; the first can be sent elsewhere.

    `environment` is a Gymnasium id, "package.module:Name-v0", where importing the module registers
    it, or a class or function that makes one. Other processes take one that they can import.
    A dictionary of observations is flattened to one vector, part after part in its space's order,
    discrete ones one-hot (`gymnasium.spaces.flatten`); the space says where its mask stands.
    `history`: what of the past they hold.
    """

    environment: str | Callable[..., gym.Env]
    env_args: Mapping[str, Any] = field(default_factory=dict)
    history: History = NO_HISTORY

    def __call__(self) -> gym.Env:
        env = self._made()
        space = env.observation_space
        if is_flat_dict(space):
            env = gym.wrappers.TransformObservation(
                env, lambda seen: gym.spaces.flatten(space, seen), flattened(space)
            )
        return self.history.around_gym(env)

    def _made(self) -> gym.Env:
        if isinstance(self.environment, str):
            return made(self.environment, self.env_args)
        with quietly():
            env = self.environment(**self.env_args)
        if not isinstance(env, gym.Env):
            raise ValueError(f"it gives a {type(env).__name__}, not a gymnasium.Env.")
        return env


def make_host(
    environment: str | Callable[..., gym.Env],
    env_args: Mapping[str, Any] = {},
    history: History = NO_HISTORY,
) -> HostFactory:
    """Return a factory of a Gymnasium environment, after making one to see that it works.

    **Arguments:** `environment`: a Gymnasium id such as "LunarLander-v3", "package.module:Name-v0"
    for one that importing the module registers, or a class or function that makes one. `env_args`:
    arguments of the environment's class.
    `history`: what of the past an observation holds.
    **Raises:** `ValueError` if the name is unknown, a package is missing, an argument is refused,
    or a space is neither a box nor discrete, nor for observations a dictionary of these, nor for
    actions several discrete ones at once.
    """
    name = environment if isinstance(environment, str) else called(environment)
    if isinstance(environment, str):
        require_known(environment)
    factory = HostFactory(environment, dict(env_args), history)
    try:
        env = factory()
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ValueError(
            f"{name!r} needs a package that is not installed. Gymnasium's own environments get "
            f'theirs from: pip install "rewardtogo[gym]" (Gymnasium says: {error})'
        ) from error
    except (gym.error.Error, TypeError, ValueError) as error:
        given = f" with env_args {dict(env_args)}" if env_args else ""
        raise ValueError(f"{name!r} could not be made{given}: {error}") from error
    with contextlib.closing(env):
        require_spaces(env)
    return factory


def called(environment: Any) -> str:
    """The name of a class or function, or of an object's class."""
    return getattr(environment, "__name__", type(environment).__name__)


def unsupported_space(role: str, space: gym.Space) -> str | None:
    """Say why the `role` space cannot be used, or return None if it can."""
    if isinstance(space, gym.spaces.Box | gym.spaces.Discrete):
        return None
    several = isinstance(space, gym.spaces.MultiDiscrete | gym.spaces.MultiBinary)
    if role == "action" and several and len(space.shape) == 1:
        return None
    if role == "observation" and is_flat_dict(space):
        return (
            "the observation space is a dictionary: wrap the environment in "
            "gymnasium.wrappers.FlattenObservation, as is done for one made by its name."
        )
    if role == "observation" and isinstance(space, gym.spaces.Dict):
        return (
            "the observation space, a Dict, must hold nothing but Box and Discrete spaces, none "
            f"of them an image, and as `{ACTION_MASK}` a MultiBinary or a vector of 0 and 1: "
            f"{space}. gymnasium.wrappers.FilterObservation can leave parts out."
        )
    more = ", or for actions MultiDiscrete or MultiBinary of one axis" if role == "action" else ""
    return f"the {role} space must be a Box or Discrete{more}, not {space}."


def require_spaces(env: gym.Env) -> tuple[gym.Space, gym.Space]:
    """Return the observation and the action space; `ValueError` if one cannot be used."""
    spaces = env.observation_space, env.action_space
    for role, space in zip(("observation", "action"), spaces, strict=True):
        problem = unsupported_space(role, space)
        if problem is not None:
            raise ValueError(f"{env}: {problem}")
    return spaces
