"""What is wrong with an environment, in plain sentences."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from .. import validate
from ..spaces import action_mask, mask_problem
from ..tabular.problems.gymnasium_registry import require_known, time_limit
from .check_jax import check_jax
from .check_report import Findings, legal
from .factory import HostFactory, unsupported_space
from .protocol import AbstractEnvironment
from .registry import is_jax_environment, is_jax_object, make, make_given, named_object


_MAX_STEPS = 10_000  # of random actions, in which an episode should end
_MAX_KEPT = 1_000  # steps that two episodes of one seed are compared over


def check(
    environment: str | gym.Env | AbstractEnvironment | type | Callable[..., gym.Env],
    backend: str | None = None,
    env_args: Mapping[str, Any] = {},
) -> list[str]:
    """Find what would keep an environment from being trained on, by an episode of random actions.

    **Arguments:** `environment`: an environment, its class, a function that makes one, or the name
    of one as `make` and `make_host` take it. `backend`: "jax" or "gymnasium", where a name is known
    to both. `env_args`: arguments of its class.
    **Returns:** one sentence for each problem; nothing if there is none.
    **Raises:** `ValueError` if there is no environment of that name, or no such backend.
    """
    if backend is not None:
        validate.one_of("backend", backend, ("jax", "gymnasium"))
    found = environment
    if isinstance(environment, str):
        found = named_object(environment) or environment
    if isinstance(found, gym.Env):
        return _check_gymnasium(found)
    if isinstance(found, str):
        if backend == "jax" or (backend is None and is_jax_environment(found)):
            return check_jax(make(found, env_args))
        require_known(found)
    elif is_jax_object(found):
        return check_jax(make_given(found, env_args))
    elif inspect.isfunction(found) and is_jax_object(made := found(**env_args)):
        return check_jax(made)
    elif not callable(found):
        raise ValueError(
            "an environment must be a name, a gymnasium.Env or a rewardtogo AbstractEnvironment, "
            f"or a class or function that makes one, not {type(found).__name__}."
        )
    findings = Findings()
    env = findings.attempt("making it", HostFactory(found, env_args))
    if env is None:
        return findings.sentences
    with contextlib.closing(env):
        return _check_gymnasium(env)


def _check_gymnasium(env: gym.Env) -> list[str]:
    findings = Findings()
    for role, space in (("observation", env.observation_space), ("action", env.action_space)):
        problem = unsupported_space(role, space)
        if problem is not None:
            findings.add(f"{role} space", problem)
    problem = mask_problem(env.observation_space, env.action_space)
    if problem is not None:
        findings.add("mask", problem)
    if findings.sentences:
        return findings.sentences
    first = _episode(env, findings)
    if first is not None:
        second = _episode(env, Findings())
        if second is not None:
            _compare(first, second, findings)
    return findings.sentences


def _episode(env: gym.Env, findings: Findings) -> list[tuple[Any, ...]] | None:
    """Play one episode from seed 0; return what it brought, or None where it could not go on."""
    env.action_space.seed(0)
    first = findings.attempt("reset(seed=0)", lambda: env.reset(seed=0))
    if first is None or not _has_parts(first, ("observation", "info"), "reset", findings):
        return None
    if not _check_observation(env, first[0], "of reset", findings):
        return None
    kept: list[tuple[Any, ...]] = [(np.copy(first[0]),)]
    observation, limit = first[0], time_limit(env)
    for time in range(1, _MAX_STEPS + 1):
        action = _random_action(env, observation, time, findings)
        if isinstance(env.action_space, gym.spaces.Discrete):
            action = int(action)  # as in training
        step = findings.attempt(f"step {time}, action {action},", partial(env.step, action))
        if step is None or not _check_step(env, step, time, findings):
            return None
        observation = step[0]
        if len(kept) < _MAX_KEPT:
            kept.append((np.copy(step[0]), *step[1:4]))
        elif limit is not None:
            return kept
        if step[2] or step[3]:
            return kept
    findings.add(
        "no end",
        f"no episode ended within {_MAX_STEPS:,} random steps, and there is no limit on time: "
        "register it with max_episode_steps, or wrap it in gymnasium.wrappers.TimeLimit.",
    )
    return kept


def _random_action(env: gym.Env, observation: Any, time: int, findings: Findings) -> Any:
    action, mask = env.action_space.sample(), action_mask(env.observation_space)
    if mask is None:
        return action
    allowed = observation[mask] != 0
    findings.check_mask(allowed, env.action_space, f"before step {time}")
    return legal(env.action_space, action, allowed)


def _has_parts(value: Any, parts: tuple[str, ...], what: str, findings: Findings) -> bool:
    if isinstance(value, tuple) and len(value) == len(parts):
        if not isinstance(value[-1], dict):
            findings.add(
                f"{what} info",
                f"the info of {what} is of type {type(value[-1]).__name__}, but must be a dict.",
            )
        return True
    size = f" of {len(value)}" if isinstance(value, tuple) else ""
    findings.add(
        f"{what} parts",
        f"{what} returned a {type(value).__name__}{size}, "
        f"but must return the tuple ({', '.join(parts)}).",
    )
    return False


def _check_step(env: gym.Env, step: Any, time: int, findings: Findings) -> bool:
    """Check what a step returned; return whether the episode can go on."""
    parts = ("observation", "reward", "terminated", "truncated", "info")
    if not _has_parts(step, parts, "step", findings):
        return False
    observation, reward, terminated, truncated, _ = step
    where = f"of step {time}"
    if not _check_observation(env, observation, where, findings):
        return False
    is_number = isinstance(reward, int | float | np.integer | np.floating)
    if not is_number or isinstance(reward, bool):
        findings.add("reward type", f"the reward {where} is {reward!r}, but must be a float.")
    elif not np.isfinite(reward):
        findings.add("reward value", f"the reward {where} is {reward}, but must be finite.")
    is_fine = is_number
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(flag, bool | np.bool_):
            findings.add(name, f"`{name}` {where} is {flag!r}, but must be a bool.")
            is_fine = False
    return is_fine


def _check_observation(env: gym.Env, observation: Any, where: str, findings: Findings) -> bool:
    """Check one observation; return whether it is at least of the right kind and shape."""
    space = env.observation_space
    is_box = isinstance(space, gym.spaces.Box)
    if not isinstance(observation, np.ndarray | np.generic | (np.ndarray if is_box else int)):
        findings.add(
            "observation type",
            f"the observation {where} is of type {type(observation).__name__}, but must be "
            f"{'a NumPy array' if is_box else 'an integer'}: the observation space is {space}.",
        )
        return False
    array = np.asarray(observation)
    if not findings.check_kind(array.shape, array.dtype, space, where):
        return False
    findings.check_values(array[None], space, lambda row: where)
    return True


def _compare(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], findings: Findings
) -> None:
    names = ("observation", "reward", "terminated", "truncated")
    for time, (one, other) in enumerate(zip(first, second, strict=False)):
        for name, a, b in zip(names, one, other, strict=False):
            if not np.array_equal(a, b, equal_nan=True):
                where = f"of step {time}" if time else "of reset"
                findings.add(
                    "determinism",
                    f"two episodes from seed 0 with equal actions differ: {name} {where} was "
                    f"{a} and then {b}; draw random numbers from `self.np_random` only.",
                )
                return
