"""Runs a method of tabular control over many seeds at once, and holds it against the optimum."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...devices import side_by_side, spread
from ...envs.tabular import environment_of
from ...free_memory import require_room
from ...tabular.mdp import AbstractMDP
from ...tabular.problems.problem import Problem, phases
from ...types import AnyArray
from ..steps.dynamics import DRAWS, Dynamics, ProcessState, dynamics
from ..values.action_values import untouched_table
from .dyna import DynaQ, DynaQPlus
from .one_step import AbstractControl
from .optimum import ControlOptimum, control_optimum, greedy_returns


POINTS = 100
"""How often a run is looked at, at most."""


class RunningCounts(NamedTuple):
    r"""Sums over a stretch of steps, and what the running episode has so far.

    `weight`: $\gamma^k$ after k steps of the running episode, and `earned` its discounted return.
    """

    episodes: Float[Array, ""]
    returns: Float[Array, ""]
    regret: Float[Array, ""]
    reward: Float[Array, ""]
    weight: Float[Array, ""]
    earned: Float[Array, ""]


class ControlState(NamedTuple):
    """What one seed carries from step to step."""

    learned: Any
    place: ProcessState
    tally: RunningCounts


class RandomNumbers(NamedTuple):
    """Numbers for a step, uniform on [0, 1)."""

    act: Float[Array, ""]
    update: Float[Array, " numbers"]
    process: Float[Array, "3"]


class ControlProblem(NamedTuple):
    """What is acted in, and what is true there: $Q^*$, $V^* - Q^*$, and where one can come to."""

    dynamics: Dynamics
    exact: Float[AnyArray, "states actions"]
    gaps: Float[AnyArray, "states actions"]
    reachable: Bool[AnyArray, " states"]


class Snapshot(NamedTuple):
    """What is reported of one seed after a stretch of steps."""

    error: Float[Array, "*points"]
    greedy: Int[Array, "*points states"]
    episodes: Float[Array, "*points"]
    returns: Float[Array, "*points"]
    regret: Float[Array, "*points"]
    reward: Float[Array, "*points"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlResult:
    r"""What was learned, against the exact optimum; rows are seeds, columns points in time.

    `steps`: taken by each seed up to the point. `error`: $\max |Q - Q^*|$ over the states that can
    be reached from $\mu_0$. `value`: $\sum_s \mu_0(s) V^\pi(s)$ of the greedy policy, exact; at
    γ = 1 of an episode with its limit. `returns`: mean discounted return of the episodes that ended
    since the point before, exploration included; NaN if none did. `regret`: the sum so far of
    $\gamma^{k}(V^*(s) - Q^*(s,a))$ over all steps, k counted from the episode's first.
    `reward`: the sum so far of rewards, not discounted. `optimum`: $\sum_s \mu_0(s) V^*(s)$. Of a
    problem that changes all is held against what it was up to the point; `exact`: at the end.
    """

    problem: Problem
    steps: Int[np.ndarray, " points"]
    error: Float[np.ndarray, "seeds points"]
    value: Float[np.ndarray, "seeds points"]
    returns: Float[np.ndarray, "seeds points"]
    episodes: Float[np.ndarray, "seeds points"]
    regret: Float[np.ndarray, "seeds points"]
    reward: Float[np.ndarray, "seeds points"]
    optimum: Float[np.ndarray, " points"]
    action_values: Float[np.ndarray, "seeds states actions"]
    exact: ControlOptimum
    seconds: float


def control(
    problem: Problem,
    method: AbstractControl,
    *,
    steps: int = 5_000_000,
    seeds: int = 10,
    seed: int = 0,
    initial_value: float = 0.0,
) -> ControlResult:
    r"""Learn action values from `steps` steps of each seed, all seeds at once.

    The regret is $\sum \gamma^{k}(V^*(s) - Q^*(s,a))$: its mean over an episode is what the episode
    falls short of $V^*(s_0)$, where after a cut the rest counts as played optimally; Kakade and
    Langford (2002), lemma 6.1.

    A problem that changes does so under way: the method is not told. Each of its MDPs is acted in,
    and judged by, from its own step on.

    **Arguments:** `steps`: of each seed; rounded up to a multiple of 100. `initial_value`: of every
    pair whose state is not terminal; a large one is optimistic and explores.
    **Raises:** `ValueError` for numbers out of range, an `initial_value` that is not finite, an
    episode that could begin in a terminal state, a problem whose change would come after the last
    step, more than there is room for, and as `solve`.
    """
    if isinstance(problem, AbstractMDP):
        raise ValueError(
            f"`problem` is an MDP, a {type(problem).__name__}: give a Problem, `rtg.problem(name)` "
            "or `rtg.tabular.Problem(name=..., mdp=mdp, source=...)`."
        )
    validate.instance("problem", problem, Problem)
    validate.instance("method", method, AbstractControl)
    validate.count("steps", steps)
    if steps >= 2**31:
        raise ValueError(f"`steps` must be below 2**31 = {2**31:,}; got {steps:,}.")
    validate.count("seeds", seeds)
    validate.whole_seed("seed", seed)
    validate.in_interval("initial_value", initial_value, -np.inf, np.inf)
    _check_room(problem.mdp, method, steps, seeds)
    starts, forms = zip(*phases(problem), strict=True)
    ends, which = _points(starts, steps)
    limit = environment_of(problem).max_steps
    truths = [control_optimum(form.mdp) for form in forms]
    worlds = [
        control_problem(dynamics(form.mdp, max_steps=limit), true)
        for form, true in zip(forms, truths, strict=True)
    ]
    lengths = np.diff(ends, prepend=0)
    stretches = [(worlds[i], int(n)) for i, n in zip(which, lengths, strict=True)]
    run = program(method, seeds=seeds)
    began = time.monotonic()
    learned, looks = run(jr.key(seed), stretches, initial_value)
    seconds = time.monotonic() - began
    value = [
        greedy_returns(form.mdp, np.concatenate(looks.greedy[:, which == i]), limit=limit)
        for i, form in enumerate(forms)
    ]
    # No episode ends in a stretch that is shorter than they are.
    returns = np.where(looks.episodes > 0, looks.returns / np.maximum(looks.episodes, 1), np.nan)
    return ControlResult(
        problem=problem,
        steps=ends,
        error=looks.error,
        value=np.concatenate([x.reshape(seeds, -1) for x in value], axis=1),
        returns=returns,
        episodes=looks.episodes,
        regret=np.cumsum(looks.regret, axis=1, dtype=float),
        reward=np.cumsum(looks.reward, axis=1, dtype=float),
        optimum=np.array([true.optimum for true in truths])[which],
        action_values=learned,
        exact=truths[-1],
        seconds=seconds,
    )


def _check_room(mdp: AbstractMDP, method: AbstractControl, steps: int, seeds: int) -> None:
    number = jnp.dtype(jnp.result_type(float)).itemsize
    stretch, draws = -(-steps // POINTS), 1 + method.num_draws + DRAWS
    plans = isinstance(method, DynaQ | DynaQPlus)
    require_room(
        side_by_side(seeds) * stretch * draws * number,
        what=f"`steps` {steps:,}",
        detail=f"{draws:,} random numbers for each of {stretch:,} steps at once",
        lower="`steps` or `planning_steps`" if plans else "`steps`",
    )
    states, pairs = mdp.num_states, mdp.num_states * mdp.num_actions
    require_room(
        seeds * (2 * pairs * number + 3 * POINTS * states * 4),  # stacked, and in one axis
        what=f"`seeds` {seeds:,}",
        detail=f"each {pairs:,} action values, and {POINTS} greedy policies of {states:,} states",
        lower="`seeds`",
    )


def _points(
    starts: Sequence[int], steps: int
) -> tuple[Int[np.ndarray, " points"], Int[np.ndarray, " points"]]:
    """Where a run of phases is looked at, their ends included; and each point's phase."""
    points = min(POINTS, steps)
    ends = (np.arange(points) + 1) * -(-steps // points)
    if starts[-1] >= ends[-1]:
        raise ValueError(
            f"`steps` is {steps}, and the problem changes after {starts[-1]}; take more steps, or "
            "the problem as it is before or after."
        )
    ends = np.union1d(ends, starts[1:]).astype(int)
    return ends, np.searchsorted(starts, ends, side="left") - 1


def control_problem(dynamics: Dynamics, true: ControlOptimum) -> ControlProblem:
    """A process and its truth, in the program's own precision."""
    dtype = jnp.result_type(float)
    q = true.action_values
    gaps = q.max(axis=1, keepdims=True) - q
    return ControlProblem(dynamics, q.astype(dtype), gaps.astype(dtype), true.reachable)


def program(method: AbstractControl, *, seeds: int):
    """A function of a key, of stretches, and of the initial value, compiled at first use.

    A stretch is a `ControlProblem` and how many steps are taken in it. Returned are the learned
    values `[seeds, states, actions]` and a `Snapshot` of `[seeds, stretches]`. It compiles once for
    each length of a stretch.
    """
    dtype = jnp.result_type(float)

    def begin(key, q, method, control_problem):
        zero = jnp.zeros((), dtype)
        place = control_problem.dynamics.begin(jr.uniform(key, dtype=dtype))
        table = untouched_table(q)
        return ControlState(
            method.init(table), place, RunningCounts(zero, zero, zero, zero, zero + 1, zero)
        )

    def advance(length, walk, key, method, control_problem):
        zero = jnp.zeros((), dtype)
        tally = walk.tally._replace(episodes=zero, returns=zero, regret=zero, reward=zero)
        act, update, *process = jr.split(key, 2 + DRAWS)
        draws = (
            jr.uniform(act, (length,), dtype),
            jr.uniform(update, (length, method.num_draws), dtype),
            [jr.uniform(k, (length,), dtype) for k in process],
        )
        step = lambda walk, draws: (
            stepped(
                walk,
                RandomNumbers(draws[0], draws[1], jnp.stack(draws[2])),
                method,
                control_problem,
            ),
            None,
        )
        walk, _ = lax.scan(step, walk._replace(tally=tally), draws)
        q = method.values(walk.learned).q
        error = jnp.max(
            jnp.where(control_problem.reachable[:, None], jnp.abs(q - control_problem.exact), 0)
        )
        greedy = jnp.argmax(q, axis=1).astype(jnp.int32)
        return walk, Snapshot(error, greedy, *walk.tally[:4])

    start = jax.jit(spread(begin, seeds, shared=3))
    go = functools.cache(
        lambda length: jax.jit(
            spread(functools.partial(advance, length), seeds, shared=2), donate_argnums=0
        )
    )
    values = jax.jit(spread(lambda walk, method: method.values(walk.learned).q, seeds, shared=1))

    def run(key, stretches, initial_value):
        first, *keys = jr.split(key, len(stretches) + 1)
        here = stretches[0][0]
        terminal = here.dynamics.terminal[:, None]
        q = np.where(terminal, 0, np.full_like(here.exact, initial_value))
        walk, looks = start(jr.split(first, seeds), q, method, here), []
        for key, (control_problem, length) in zip(keys, stretches, strict=True):
            walk, look = go(length)(walk, jr.split(key, seeds), method, control_problem)
            looks.append(jax.tree.map(np.asarray, look))
        together = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *looks)
        return np.asarray(values(walk, method)), together

    return run


def stepped(
    walk: ControlState,
    draws: RandomNumbers,
    method: AbstractControl,
    control_problem: ControlProblem,
) -> ControlState:
    """One step: act, see, learn, and count."""
    learned, place, tally = walk
    discount = control_problem.dynamics.discount
    action = method.act(learned, place.state, place.time == 0, draws.act)
    place, seen = control_problem.dynamics.step(place, action, draws.process)
    learned = method.update(learned, seen, draws.update, discount=discount)
    ended = seen.terminated | seen.truncated
    earned = tally.earned + tally.weight * seen.reward
    tally = RunningCounts(
        tally.episodes + ended,
        tally.returns + jnp.where(ended, earned, 0),
        tally.regret + tally.weight * jnp.asarray(control_problem.gaps)[seen.state, action],
        tally.reward + seen.reward,
        jnp.where(ended, 1, tally.weight * discount),
        jnp.where(ended, 0, earned),
    )
    return ControlState(learned, place, tally)
