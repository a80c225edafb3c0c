"""What is wrong with an environment written in JAX."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Key, PRNGKeyArray, PyTree, Shaped

from ..spaces import action_mask, is_flat_dict, mask_problem
from .check_report import Findings, legal
from .factory import unsupported_space
from .protocol import AbstractEnvironment, Step
from .wrappers import FlatObservations, TimeLimit, inside_limit


_NUM_ENVS = 4
_STEPS = 256  # whose every value is looked at
_MAX_STEPS = 10_000  # of random actions, in which an episode should end


def check_jax(env: AbstractEnvironment) -> list[str]:
    """Find what would keep `env` from being trained on; one sentence for each problem."""
    findings = Findings()
    spaces = findings.attempt("its spaces", lambda: (env.observation_space, env.action_space))
    if spaces is not None and is_flat_dict(spaces[0]):
        env = inside_limit(FlatObservations, env)
        spaces = env.observation_space, env.action_space
    if spaces is None:
        return findings.sentences
    for role, space in zip(("observation", "action"), spaces, strict=True):
        problem = unsupported_space(role, space)
        if problem is not None:
            findings.add(f"{role} space", problem)
    if not findings.sentences:
        problem = mask_problem(*spaces)
        if problem is not None:
            findings.add("mask", problem)
    if not findings.sentences:
        _check_structure(env, findings)
    if not findings.sentences:
        _check_values(env, findings)
    return findings.sentences


def _check_structure(env: AbstractEnvironment, findings: Findings) -> None:
    """Trace `reset` and `step` without running them; a scan needs what goes in to come out."""
    key = jr.key(0)
    first = findings.attempt("compiling `reset`", lambda: jax.eval_shape(env.reset, key))
    if first is None or not _is_pair(first, "reset", "observation", findings):
        return
    state, observation = first
    actions = _random_actions(env, 1)
    second = findings.attempt(
        "compiling `step`", lambda: jax.eval_shape(env.step, state, actions[0, 0])
    )
    if second is None or not _is_pair(second, "step", "Step", findings):
        return
    next_state, step = second
    if not isinstance(step, Step):
        kind = type(step).__name__
        findings.add("step type", f"`step` returned a {kind} where a `Step` must be.")
        return
    _check_same("state", state, next_state, findings)
    for what, seen in (("of reset", observation), ("of step", step.observation)):
        if not isinstance(seen, jax.ShapeDtypeStruct):
            kind = type(seen).__name__
            findings.add("observation", f"the observation {what} is a {kind}, not one array.")
            return
        findings.check_kind(seen.shape, seen.dtype, env.observation_space, what)
    _check_same("observation", observation, step.observation, findings)
    _check_scalar("reward", step.reward, jnp.floating, "a float", findings)
    _check_scalar("terminated", step.terminated, jnp.bool_, "a bool", findings)
    _check_scalar("truncated", step.truncated, jnp.bool_, "a bool", findings)


def _is_pair(value: Any, method: str, second: str, findings: Findings) -> bool:
    if isinstance(value, tuple) and len(value) == 2:
        return True
    findings.add(
        f"{method} pair",
        f"`{method}` returned a {type(value).__name__}, but must return (state, {second}).",
    )
    return False


def _check_same(what: str, before: PyTree, after: PyTree, findings: Findings) -> None:
    structures = jax.tree.structure(before), jax.tree.structure(after)
    if structures[0] != structures[1]:
        findings.add(
            f"{what} structure",
            f"the {what} has the structure {structures[0]} after reset, but {structures[1]} after "
            "step; they must be the same.",
        )
        return
    later = jax.tree.leaves(after)
    for (path, one), other in zip(jax.tree.leaves_with_path(before), later, strict=True):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            findings.add(
                f"{what} structure",
                f"the {what}{jax.tree_util.keystr(path)} is {one.dtype}{list(one.shape)} after "
                f"reset, but {other.dtype}{list(other.shape)} after step; they must be the same.",
            )


def _check_scalar(name: str, value: Any, kind: Any, wanted: str, findings: Findings) -> None:
    if not isinstance(value, jax.ShapeDtypeStruct):
        findings.add(name, f"`{name}` of step is a {type(value).__name__}, but must be {wanted}.")
    elif value.shape != () or not jnp.issubdtype(value.dtype, kind):
        findings.add(
            name,
            f"`{name}` of step is {value.dtype}{list(value.shape)}, "
            f"but must be {wanted} of shape ().",
        )


def _check_values(env: AbstractEnvironment, findings: Findings) -> None:
    """Run some environments side by side, as training does, and look at what they give."""
    keys, actions = jr.split(jr.key(0), _NUM_ENVS), _random_actions(env, _STEPS)
    # A function is traced once only, so what is not JAX's shows between two of them.
    programs = [
        findings.attempt(
            "compiling it under `jit`, `vmap` and `scan`",
            lambda: jax.jit(lambda keys, actions: _run(env, keys, actions)).lower(keys, actions),
        )
        for _ in range(2)
    ]
    if programs[0] is None or programs[1] is None:
        return
    run = findings.attempt("running it", lambda: programs[0].compile()(keys, actions))
    if run is None:
        return
    first, steps = run
    _look(env, first, steps, findings)
    if programs[0].as_text() != programs[1].as_text():
        again = programs[1].compile()(keys, actions)
        _check_equal(run, again, findings)
    if not np.any(steps.terminated | steps.truncated) and not isinstance(env, TimeLimit):
        _check_end(env, keys, actions, findings)


def _look(
    env: AbstractEnvironment, first: Shaped[Array, "env ..."], steps: Step, findings: Findings
) -> None:
    findings.check_values(np.asarray(first), env.observation_space, lambda row: "of reset")
    observations = np.asarray(steps.observation)
    findings.check_values(
        observations.reshape(-1, *observations.shape[2:]),
        env.observation_space,
        lambda row: f"of step {row // _NUM_ENVS + 1}",
    )
    _look_at_masks(env, np.asarray(first), steps, findings)
    bad = np.argwhere(~np.isfinite(steps.reward))
    if bad.size:
        time, index = bad[0]
        findings.add(
            "reward",
            f"the reward of step {time + 1} is {steps.reward[time, index]}, but must be finite.",
        )


def _look_at_masks(
    env: AbstractEnvironment, first: Shaped[np.ndarray, "env ..."], steps: Step, findings: Findings
) -> None:
    mask = action_mask(env.observation_space)
    if mask is None:
        return
    for row in first:
        findings.check_mask(row[mask] != 0, env.action_space, "of reset")
    going = ~np.asarray(steps.terminated | steps.truncated)
    for time, index in np.argwhere(going):
        allowed = np.asarray(steps.observation)[time, index, mask] != 0
        findings.check_mask(allowed, env.action_space, f"of step {time + 1}")


def _check_equal(run: PyTree, again: PyTree, findings: Findings) -> None:
    pairs = zip(jax.tree.leaves(run), jax.tree.leaves(again), strict=True)
    if not all(np.array_equal(one, other, equal_nan=True) for one, other in pairs):
        findings.add(
            "determinism",
            "two runs from the same keys with equal actions differ: random numbers must come from "
            "the key given to `reset`, and from keys kept in the state.",
        )


def _check_end(
    env: AbstractEnvironment, keys: Key[Array, " env"], actions: Array, findings: Findings
) -> None:
    actions = jnp.tile(actions, (_MAX_STEPS // _STEPS + 1, *(1,) * (actions.ndim - 1)))

    def flags(keys: Key[Array, " env"], actions: Array) -> Bool[Array, "time env"]:
        _, steps = _run(env, keys, actions)
        return steps.terminated | steps.truncated

    if not jax.jit(flags)(keys, actions).any():
        findings.add(
            "no end",
            f"no episode ended within {_MAX_STEPS:,} random steps, and there is no limit on time: "
            "wrap it in rewardtogo.envs.wrappers.TimeLimit.",
        )


def _run(
    env: AbstractEnvironment, keys: Key[Array, " env"], actions: Shaped[Array, "time env ..."]
) -> tuple[Shaped[Array, "env ..."], Step]:
    """Act `time` times, with a reset after each end; return first observations and all steps."""

    mask = action_mask(env.observation_space)

    def act(carry: Any, action: Array) -> tuple[Any, Step]:
        state, observation, key = carry
        key, reset_key = jr.split(key)
        if mask is not None:
            action = legal(env.action_space, action, observation[mask] != 0)
        state, step = env.step(state, action)
        ended = step.terminated | step.truncated
        pick = lambda new, old: jnp.where(ended, new, old)
        going = jax.tree.map(pick, env.reset(reset_key), (state, step.observation))
        return (*going, key), step

    def one(key: PRNGKeyArray, actions: Array) -> tuple[Array, Step]:
        key, reset_key = jr.split(key)
        state, observation = env.reset(reset_key)
        _, steps = lax.scan(act, (state, observation, key), actions)
        return observation, steps

    return jax.vmap(one, in_axes=(0, 1), out_axes=(0, 1))(keys, actions)


def _random_actions(env: AbstractEnvironment, steps: int) -> Shaped[Array, "time env ..."]:
    space = env.action_space
    space.seed(0)
    return jnp.asarray([[space.sample() for _ in range(_NUM_ENVS)] for _ in range(steps)])
