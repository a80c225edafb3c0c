"""Run a method of off-policy prediction: many step sizes and seeds in one program, in float64."""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ... import validate
from ...devices import side_by_side, spread
from ...free_memory import require_room
from ...types import AnyArray
from ..steps.dynamics import DRAWS, Dynamics, ProcessState, dynamics
from .exact import FeatureMoments, OffPolicyCase, expected_step, moments
from .methods import AbstractOffPolicyMethod, OffPolicyStep, Weights


class Updates(enum.Enum):
    """What a step learns from."""

    SAMPLED = "sampled"  # one step of the behaviour
    EXPECTED = "expected"  # all that it could be, weighed by their probabilities


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyPrediction:
    r"""What a method learned, with several step sizes, on the same steps.

    `steps`: taken up to each point; the first is 0. `weights`, `auxiliary`: w and v there.
    `value_error`, `projected_error`: $\sqrt{\overline{VE}}$ and $\sqrt{\overline{PBE}}$, infinite
    where the weights are. Expected updates have one seed.
    """

    step_sizes: tuple[float, ...]
    steps: Int[np.ndarray, " points"]
    weights: Float[np.ndarray, "step_sizes seeds points features"]
    auxiliary: Float[np.ndarray, "step_sizes seeds points features"]
    value_error: Float[np.ndarray, "step_sizes seeds points"]
    projected_error: Float[np.ndarray, "step_sizes seeds points"]
    exact: FeatureMoments


def off_policy_prediction(
    method: AbstractOffPolicyMethod,
    case: OffPolicyCase,
    *,
    step_sizes: Sequence[float],
    updates: Updates = Updates.SAMPLED,
    steps: int = 1000,
    seeds: int = 10,
    seed: int = 0,
    points: int = 100,
) -> OffPolicyPrediction:
    r"""Learn $V^\pi$ with linear features from steps of b, with each step size and seed.

    Sutton and Barto (2018), figures 11.2, 11.5 and 11.6. All step sizes meet the same steps.
    Episodes are never cut: one begins only where another has ended.

    **Arguments:** `method`: its own step size of w is not used. `updates`: expected ones need
    neither samples nor seeds. `steps`: of each seed, rounded up to a multiple of `points`, at
    which weights are kept.
    **Raises:** `ValueError` for a number out of range, more than there is room for, and as
    `moments`.
    """
    _check_numbers(step_sizes, steps=steps, seeds=seeds, points=points)
    validate.whole_seed("seed", seed)
    exact = moments(case)
    points = min(points, steps)
    stretch = -(-steps // points)
    if updates is Updates.SAMPLED:
        _check_room(len(step_sizes), seeds, points, stretch, exact.features.shape[1])
    with jax.enable_x64(True):
        match updates:
            case Updates.SAMPLED:
                keys = jr.split(jr.key(seed), seeds)
                found = _sampled(method, case, step_sizes, keys, points, stretch)
            case Updates.EXPECTED:
                found = _expected(method, case, exact, step_sizes, points, stretch)
        found = jax.tree.map(np.asarray, found)
    start = np.broadcast_to(case.initial_weights, exact.features.shape[1:])
    value, auxiliary = (
        _with_start(x.reshape(len(step_sizes), -1, *x.shape[1:]), first)
        for x, first in zip(found, (start, 0 * start), strict=True)
    )
    finite = lambda x: np.nan_to_num(x, nan=np.inf, posinf=np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = finite(exact.value_error(value)), finite(exact.projected_error(value))
    return OffPolicyPrediction(
        step_sizes=tuple(step_sizes),
        steps=np.arange(points + 1) * stretch,
        weights=value,
        auxiliary=auxiliary,
        value_error=errors[0],
        projected_error=errors[1],
        exact=exact,
    )


class _Tables(eqx.Module):
    """What sampled runs share; `behaviour` is cumulative over actions."""

    process: Dynamics
    behaviour: Float[AnyArray, "states actions"]
    ratio: Float[AnyArray, "states actions"]
    features: Float[AnyArray, "states features"]
    start: Float[AnyArray, " features"]


class _Run(NamedTuple):
    place: ProcessState
    followon: Float[Array, ""]
    weights: Weights


def _sampled(
    method: AbstractOffPolicyMethod,
    case: OffPolicyCase,
    step_sizes: Sequence[float],
    keys: Key[Array, " seeds"],
    points: int,
    stretch: int,
) -> Weights:
    """The weights at each point, `[step sizes * seeds, points, features]`."""
    cumulative = np.cumsum(case.behaviour, axis=1)
    features = case.live_features
    tables = _Tables(
        dynamics(case.mdp, max_steps=2**31 - 1),
        cumulative / cumulative[:, -1:],
        case.ratio,
        features,
        np.broadcast_to(np.asarray(case.initial_weights, np.float64), features.shape[1:]),
    )

    def run(step_size, key, tables):
        sized = eqx.tree_at(lambda method: method.step_size, method, step_size)
        step = lambda run, draws: (_stepped(run, draws, sized, tables), None)

        def until_point(run, key):
            run, _ = lax.scan(step, run, jr.uniform(key, (stretch, 1 + DRAWS)))
            return run, run.weights

        first, *rest = jr.split(key, 2)
        weights = Weights(jnp.asarray(tables.start), jnp.zeros_like(tables.start))
        begun = _Run(tables.process.begin(jr.uniform(first)), jnp.ones(()), weights)
        return lax.scan(until_point, begun, jr.split(rest[0], points))[1]

    sizes = jnp.repeat(jnp.asarray(step_sizes), len(keys))
    repeated = keys[jnp.tile(jnp.arange(len(keys)), len(step_sizes))]
    return jax.jit(spread(run, len(sizes), shared=1))(sizes, repeated, tables)


def _stepped(
    run: _Run, draws: Float[Array, "4"], method: AbstractOffPolicyMethod, tables: _Tables
) -> _Run:
    """One step of the behaviour, and what is learned from it."""
    state, discount = run.place.state, tables.process.discount
    features, ratio = jnp.asarray(tables.features), jnp.asarray(tables.ratio)
    action = jnp.sum(jnp.asarray(tables.behaviour)[state] <= draws[0], dtype=jnp.int32)
    place, step = tables.process.step(run.place, action, draws[1:])
    seen = OffPolicyStep(
        features[state],
        step.reward,
        features[step.next_state],
        ratio[state, action],
        run.followon,
    )
    change = method.change(run.weights, seen, discount=discount)
    followon = jnp.where(step.terminated, 1, 1 + discount * seen.ratio * run.followon)
    return _Run(place, followon, jax.tree.map(jnp.add, run.weights, change))


def _expected(
    method: AbstractOffPolicyMethod,
    case: OffPolicyCase,
    exact: FeatureMoments,
    step_sizes: Sequence[float],
    points: int,
    stretch: int,
) -> Weights:
    """The weights at each point, `[step sizes, points, features]`."""
    start = jnp.broadcast_to(jnp.asarray(case.initial_weights), exact.features.shape[1:])

    def run(step_size):
        sized = eqx.tree_at(lambda method: method.step_size, method, step_size)
        step: Callable[[Weights], Weights] = expected_step(sized, case, exact)

        def until_point(weights, _):
            weights = lax.fori_loop(0, stretch, lambda _, now: step(now), weights)
            return weights, weights

        begun = Weights(start.astype(float), jnp.zeros_like(start, float))
        return lax.scan(until_point, begun, length=points, xs=None)[1]

    return jax.jit(lambda sizes: lax.map(run, sizes))(jnp.asarray(step_sizes))


def _with_start(
    points: Float[np.ndarray, "step_sizes seeds points features"], start: np.ndarray
) -> Float[np.ndarray, "step_sizes seeds more features"]:
    first = np.broadcast_to(start, (*points.shape[:2], 1, points.shape[3]))
    return np.concatenate([first, points], axis=2)


def _check_room(num_sizes: int, seeds: int, points: int, stretch: int, width: int) -> None:
    runs, draws = num_sizes * seeds, 1 + DRAWS
    require_room(
        side_by_side(runs) * stretch * draws * 8,
        what=f"`steps` {points * stretch:,}",
        detail=f"{draws} random numbers for each of {stretch:,} steps at once",
        lower="`steps`",
    )
    require_room(
        2 * runs * points * 2 * width * 8,  # and once more with the first point before them
        what=f"{num_sizes} step size(s) × `seeds` {seeds:,}",
        detail=f"each {2 * width:,} weights at {points} points",
        lower="`seeds`",
    )


def _check_numbers(step_sizes: Sequence[float], **counts: int) -> None:
    if not len(step_sizes):
        raise ValueError("`step_sizes` is empty: at least one is needed.")
    for size in step_sizes:
        validate.positive("step_sizes", float(size))
    for name, value in counts.items():
        validate.count(name, value)
