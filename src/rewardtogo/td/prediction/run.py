"""Run a method of prediction on a problem, against its exact values."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from numpy.typing import ArrayLike

from ... import validate
from ...devices import side_by_side, spread
from ...free_memory import bytes_of, require_room
from ...statistics import Interval, stratified_bootstrap
from ...tabular.checks import as_floats
from ...tabular.exact.evaluation import state_values
from ...tabular.mdp import AbstractMDP
from ...tabular.problems.problem import Problem
from ...types import AnyArray
from ..steps.dynamics import DRAWS, Dynamics, ProcessState, dynamics
from ..values.fixed_points import on_policy_distribution
from ..values.state_values import AbstractValues, TabularValues
from .averaging import Averaging
from .monte_carlo import MonteCarlo
from .n_step import NStepTD
from .one_step import AbstractPredictor, Estimate, spread_value


# Steps whose uniform numbers are made at once.
_BLOCK = 256
# Which no block has as its number.
_WEIGHTS = 2**32 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    r"""What a method learned, with several step sizes, on the same episodes.

    `errors`: the root of the mean over `counted` states, or over steps, of
    $(V(s) - V^\pi(s))^2$, after each episode. `counted`: those that are not terminal and that the
    policy can visit. `values`: what was learned in the end, and `weights` behind it, step sizes and
    seeds first. `exact`: $V^\pi$. `truncated`: the share of all episodes cut off.
    """

    step_sizes: tuple[float, ...]
    errors: Float[np.ndarray, "step_sizes seeds episodes"]
    values: Float[np.ndarray, "step_sizes seeds states"]
    weights: Any
    exact: Float[np.ndarray, " states"]
    counted: Bool[np.ndarray, " states"]
    truncated: float

    def mean_errors(self) -> list[Interval | None]:
        """Of each step size: the error's mean over episodes, then over seeds, with 95 %.

        None where a value became infinite: that step size diverged.
        """
        means = [self.errors[i].mean(axis=1) for i in range(len(self.errors))]
        return [
            stratified_bootstrap(mean, np.mean, seed=0) if np.isfinite(mean).all() else None
            for mean in means
        ]

    def best(self) -> int | None:
        """Which step size has the least mean error; None if all diverged."""
        means = [np.inf if m is None else m.estimate for m in self.mean_errors()]
        return int(np.argmin(means)) if np.isfinite(means).any() else None


def predict(
    method: AbstractPredictor,
    mdp: AbstractMDP,
    policy: ArrayLike,
    *,
    step_sizes: Sequence[float] | ArrayLike,
    episodes: int = 10,
    seeds: int = 100,
    seed: int = 0,
    max_steps: int = 10_000,
    initial_value: float | Float[AnyArray, " given"] = 0.0,
    values: AbstractValues | None = None,
    averaging: Averaging = Averaging.STATES,
) -> Prediction:
    r"""Learn $V^\pi$ from episodes of `policy`, with each step size and seed, in one program.

    Sutton and Barto (2018), figures 6.2 (right) and 7.2: `episodes` and errors as there. All step
    sizes meet the same episodes, so that they can be compared. On a CPU a step of TD(0) takes
    about 0.1 µs.

    **Arguments:** `method`: its own step size is not used. `policy`: $\pi(a \mid s)$, each row a
    distribution. `seeds`: how many independent runs. `seed`: of all that is random. `max_steps`:
    an episode is truncated after so many. `initial_value`: of all states of a table, or of each;
    terminal ones are worth 0. `values`: what learns, `linear_values` or `network_values`; None for
    a table. `averaging`: of errors, over states as in the book's chapters 6 and 7, or over steps,
    $\sqrt{\overline{VE}}$ with the on-policy distribution (eq. 9.1), as in chapter 9.
    **Raises:** `ValueError` for a number out of range, a policy of another shape or with rows that
    are no distribution, features of the wrong width, values that do not exist at γ = 1, more than
    there is room for, and for Monte Carlo if episodes never end.
    """
    validate.instance("method", method, AbstractPredictor)
    if isinstance(mdp, Problem):
        raise ValueError(f"`mdp` is the problem {mdp.name!r}: give its `mdp`, as in problem.mdp.")
    validate.instance("mdp", mdp, AbstractMDP)
    sizes = _checked_sizes(step_sizes)
    _check_numbers(episodes, seeds, seed)
    policy = _checked_policy(policy, mdp)
    exact = np.asarray(state_values(mdp, policy))
    process = dynamics(mdp, max_steps=max_steps)
    visited = _visited(process, policy)
    _check_ending(method, process, visited)
    counted = visited & ~np.asarray(mdp.terminal)
    share = counted if averaging is Averaging.STATES else on_policy_distribution(mdp, policy)
    learner = _checked_values(values, process, initial_value)
    _check_room(method, learner, len(sizes), seeds, episodes, max_steps)
    setting = _setting(process, policy, exact, share / share.sum(), learner)
    runs = _runs(method, setting, sizes, jr.split(jr.key(seed), seeds), episodes)
    shaped = lambda x: np.asarray(x).reshape(len(sizes), seeds, *x.shape[1:])
    return Prediction(
        step_sizes=sizes,
        errors=shaped(runs.errors),
        values=np.where(process.terminal, 0, shaped(runs.values)),
        weights=jax.tree.map(shaped, runs.weights),
        exact=exact,
        counted=counted,
        truncated=float(np.mean(runs.truncated)) / episodes,
    )


class _Setting(eqx.Module):
    """What all runs share; `policy` is cumulative over actions, `share` weighs the errors."""

    process: Dynamics
    policy: Float[AnyArray, "states actions"]
    exact: Float[AnyArray, " states"]
    share: Float[AnyArray, " states"]
    values: AbstractValues


class _Runs(NamedTuple):
    """What is left of them, step sizes first, then seeds, in one axis."""

    errors: Float[Array, "runs episodes"]
    values: Float[Array, "runs states"]
    weights: Any
    truncated: Int[Array, " runs"]


class _Run(NamedTuple):
    """One run under way: `episode` have ended, `block` of uniform numbers were used up."""

    place: ProcessState
    estimate: Estimate
    errors: Float[Array, " episodes"]
    truncated: Int[Array, ""]
    episode: Int[Array, ""]
    block: Int[Array, ""]


def _runs(
    method: AbstractPredictor,
    setting: _Setting,
    step_sizes: Sequence[float],
    keys: Key[Array, " seeds"],
    episodes: int,
) -> _Runs:
    def run(step_size, key, setting):
        sized = eqx.tree_at(lambda method: method.step_size, method, step_size)
        ended = _run(sized, setting, key, episodes)
        weights = ended.estimate.weights
        return _Runs(ended.errors, setting.values.values(weights), weights, ended.truncated)

    seeds = len(keys)
    sizes = jnp.repeat(jnp.asarray(step_sizes, setting.exact.dtype), seeds)
    repeated = keys[jnp.tile(jnp.arange(seeds), len(step_sizes))]
    return jax.jit(spread(run, len(sizes), shared=1))(sizes, repeated, setting)


def _run(method: AbstractPredictor, setting: _Setting, key: Key[Array, ""], episodes: int) -> _Run:
    process, zero = setting.process, jnp.zeros((), jnp.int32)

    def step(carry):
        draws, i, run = carry
        action = jnp.sum(jnp.asarray(setting.policy)[run.place.state] <= draws[i, 1], dtype=int)
        place, seen = process.step(run.place, action.astype(jnp.int32), draws[i, 2:])
        estimate = method.observe(run.estimate, seen, process.discount, setting.values)
        ended = seen.terminated | seen.truncated
        error = lax.cond(
            ended, lambda w: _error(w, setting), lambda w: jnp.zeros(()), estimate.weights
        )
        # Written at every step, and for the last time at the episode's end.
        errors = run.errors.at[run.episode].set(error)
        truncated, episode = run.truncated + seen.truncated, run.episode + ended
        return draws, i + 1, _Run(place, estimate, errors, truncated, episode, run.block)

    def block(run):
        # The first of each step is spare; without it all recorded results would be others.
        draws = jr.uniform(jr.fold_in(key, run.block + 1), (_BLOCK, 2 + DRAWS))
        within = lambda carry: (carry[1] < _BLOCK) & (carry[2].episode < episodes)
        _, _, run = lax.while_loop(within, step, (draws, 0, run))
        return run._replace(block=run.block + 1)

    weights = setting.values.init(jr.fold_in(key, _WEIGHTS))
    start = _Run(
        process.begin(jr.uniform(jr.fold_in(key, 0))),
        method.init(setting.values, weights, max_steps=process.max_steps),
        jnp.zeros(episodes, setting.exact.dtype),
        *(zero, zero, zero),
    )
    return lax.while_loop(lambda run: run.episode < episodes, block, start)


def _error(weights: Any, setting: _Setting) -> Float[Array, ""]:
    gap = setting.values.values(weights) - setting.exact
    return jnp.sqrt(jnp.sum(setting.share * gap**2))


def _setting(
    process: Dynamics,
    policy: np.ndarray,
    exact: np.ndarray,
    share: np.ndarray,
    values: AbstractValues,
) -> _Setting:
    cumulative = np.cumsum(policy, axis=1)
    dtype = jnp.result_type(float)
    return _Setting(
        process,
        (cumulative / cumulative[:, -1:]).astype(dtype),
        exact.astype(dtype),
        share.astype(dtype),
        values,
    )


def _checked_values(
    values: AbstractValues | None,
    process: Dynamics,
    initial_value: float | Float[AnyArray, " given"],
) -> AbstractValues:
    initial = spread_value(initial_value, process.num_states)
    if values is None:
        return TabularValues(np.where(process.terminal, 0, initial).astype(jnp.result_type(float)))
    if values.num_states != process.num_states:
        raise ValueError(
            f"features of the wrong width: `values` are of {values.num_states} states and the "
            f"problem has {process.num_states}."
        )
    if initial.any():
        raise ValueError("`initial_value` is for a table: other values have their own weights.")
    return values


def _visited(process: Dynamics, policy: np.ndarray) -> np.ndarray:
    """The states that an episode of `policy` can meet, terminal ones included."""
    probability = np.diff(process.cumulative, axis=1, prepend=0)
    possible = (probability > 0) & (policy.reshape(-1, 1) > 0)
    visited = np.diff(process.initial, prepend=0) > 0
    while True:
        going = possible & np.repeat(visited & ~process.terminal, process.num_actions)[:, None]
        more = visited.copy()
        more[np.asarray(process.successor)[going]] = True
        if (more == visited).all():
            return visited
        visited = more


def _checked_policy(policy: ArrayLike, mdp: AbstractMDP) -> Float[np.ndarray, "states actions"]:
    table = as_floats("policy", policy)
    if table.shape != (mdp.num_states, mdp.num_actions):
        raise ValueError(
            f"`policy` must have a row for each of {mdp.num_states} states and a column for each "
            f"of {mdp.num_actions} actions; got shape {table.shape}."
        )
    return table


def _checked_sizes(step_sizes: Sequence[float] | ArrayLike) -> tuple[float, ...]:
    sizes = as_floats("step_sizes", step_sizes)
    if sizes.ndim != 1 or not sizes.size:
        raise ValueError(f"`step_sizes` must be a list of at least one; got {step_sizes!r}.")
    for size in sizes.tolist():
        validate.in_interval("step_sizes", size, 0.0, 1.0, open_low=True)
    return tuple(sizes.tolist())


def _check_numbers(episodes: int, seeds: int, seed: int) -> None:
    validate.count("episodes", episodes)
    validate.count("seeds", seeds)
    validate.whole_seed("seed", seed)


def _check_room(
    method: AbstractPredictor,
    values: AbstractValues,
    num_sizes: int,
    seeds: int,
    episodes: int,
    max_steps: int,
) -> None:
    begin = lambda: method.init(values, values.init(jr.key(0)), max_steps=max_steps)
    estimate: Estimate = jax.eval_shape(begin)
    runs, number = num_sizes * seeds, jnp.dtype(jnp.result_type(float)).itemsize
    weights = bytes_of(estimate.weights)
    require_room(
        runs * (weights + number * (values.num_states + episodes)),
        what=f"{num_sizes} step size(s) × `seeds` {seeds:,} × `episodes` {episodes:,}",
        detail=f"each seed an error an episode and {weights // number:,} weights",
        lower="`seeds`, `episodes` or the number of `step_sizes`",
    )
    by_kind = {MonteCarlo: ("`max_steps`", max_steps), NStepTD: ("`n`", getattr(method, "n", 0))}
    name, value = by_kind.get(type(method), ("the number of features", weights // number))
    require_room(
        side_by_side(runs) * bytes_of(estimate),
        what=f"{name} {value:,}",
        detail=f"what {type(method).__name__} remembers",
        lower=name,
    )


def _check_ending(method: AbstractPredictor, process: Dynamics, visited: np.ndarray) -> None:
    if isinstance(method, MonteCarlo) and not np.any(visited & process.terminal):
        raise ValueError(
            "Monte Carlo learns from episodes that end, and under this policy none does: take a "
            "method of temporal differences."
        )
