"""Runs a method of tabular control over many seeds at once, and holds it against the optimum."""

import dataclasses
import time
from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from .. import validate
from ..envs.tabular import environment_of
from ..programs import spread
from ..tabular.problem import Problem
from .action_values import untouched_table
from .control import AbstractControl
from .control_truth import Truth, greedy_returns, truth
from .dynamics import DRAWS, Dynamics, Place, dynamics


POINTS = 100
"""How often a run is looked at, at most."""


class Tally(NamedTuple):
    r"""Sums over a stretch of steps, and what the running episode has so far.

    `weight`: $\gamma^k$ after k steps of the running episode, and `earned` its discounted return.
    """

    episodes: Float[Array, ""]
    returns: Float[Array, ""]
    regret: Float[Array, ""]
    weight: Float[Array, ""]
    earned: Float[Array, ""]


class Walk(NamedTuple):
    """What one seed carries from step to step."""

    learned: Any
    place: Place
    tally: Tally


class Look(NamedTuple):
    """What is reported of one seed after a stretch of steps."""

    error: Float[Array, "*points"]
    greedy: Int[Array, "*points states"]
    episodes: Float[Array, "*points"]
    returns: Float[Array, "*points"]
    regret: Float[Array, "*points"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlResult:
    r"""What was learned, against the exact optimum; rows are seeds, columns points in time.

    `steps`: taken by each seed up to the point. `error`: $\max |Q - Q^*|$ over the states that can
    be reached from $\mu_0$. `value`: $\sum_s \mu_0(s) V^\pi(s)$ of the greedy policy, exact; at
    γ = 1 of an episode with its limit. `returns`: mean discounted return of the episodes that ended
    since the point before, exploration included; NaN if none did. `regret`: the sum so far of
    $\gamma^{k}(V^*(s) - Q^*(s,a))$ over all steps, k counted from the episode's first.
    """

    problem: Problem
    steps: Int[np.ndarray, " points"]
    error: Float[np.ndarray, "seeds points"]
    value: Float[np.ndarray, "seeds points"]
    returns: Float[np.ndarray, "seeds points"]
    episodes: Float[np.ndarray, "seeds points"]
    regret: Float[np.ndarray, "seeds points"]
    action_values: Float[np.ndarray, "seeds states actions"]
    truth: Truth
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

    **Arguments:** `steps`: of each seed; rounded up to a multiple of 100. `initial_value`: of every
    pair whose state is not terminal; a large one is optimistic and explores.
    **Raises:** `ValueError` for numbers out of range, an `initial_value` that is not finite, an
    episode that could begin in a terminal state, and as `solve`.
    """
    validate.count("steps", steps)
    validate.count("seeds", seeds)
    validate.whole_seed("seed", seed)
    validate.in_interval("initial_value", initial_value, -np.inf, np.inf)
    limit = environment_of(problem).max_steps
    world, true = dynamics(problem.mdp, max_steps=limit), truth(problem.mdp)
    points = min(POINTS, steps)
    run = program(world, method, true, stretch=-(-steps // points), seeds=seeds)
    began = time.monotonic()
    learned, looks = run(jr.key(seed), points, initial_value)
    seconds = time.monotonic() - began
    policies = np.reshape(looks.greedy, (-1, world.num_states))
    value = greedy_returns(problem.mdp, policies, limit=limit).reshape(seeds, points)
    # No episode ends in a stretch that is shorter than they are.
    returns = np.where(looks.episodes > 0, looks.returns / np.maximum(looks.episodes, 1), np.nan)
    return ControlResult(
        problem=problem,
        steps=(np.arange(points) + 1) * -(-steps // points),
        error=looks.error,
        value=value,
        returns=returns,
        episodes=looks.episodes,
        regret=np.cumsum(looks.regret, axis=1, dtype=float),
        action_values=learned,
        truth=true,
        seconds=seconds,
    )


def program(world: Dynamics, method: AbstractControl, true: Truth, *, stretch: int, seeds: int):
    """A function of a key, a number of stretches and the initial value, compiled at first use.

    It returns the learned values `[seeds, states, actions]` and a `Look` of `[seeds, points]`.
    """
    dtype = jnp.result_type(float)
    exact = true.action_values.astype(dtype)
    gaps = (true.action_values.max(axis=1, keepdims=True) - true.action_values).astype(dtype)
    shared = (method, world, exact, gaps, true.reachable)

    def begin(key, q, method, world):
        zero = jnp.zeros((), dtype)
        place = world.begin(jr.uniform(key, dtype=dtype))
        return Walk(method.init(untouched_table(q)), place, Tally(zero, zero, zero, zero + 1, zero))

    def advance(walk, key, method, world, exact, gaps, reachable):
        zero = jnp.zeros((), dtype)
        tally = walk.tally._replace(episodes=zero, returns=zero, regret=zero)
        draws = [jr.uniform(k, (stretch,), dtype) for k in jr.split(key, DRAWS)]
        step = lambda walk, draws: (stepped(walk, jnp.stack(draws), method, world, gaps), None)
        walk, _ = lax.scan(step, walk._replace(tally=tally), draws)
        q = method.values(walk.learned).q
        error = jnp.max(jnp.where(reachable[:, None], jnp.abs(q - exact), 0))
        greedy = jnp.argmax(q, axis=1).astype(jnp.int32)
        return walk, Look(error, greedy, *walk.tally[:3])

    start = jax.jit(spread(begin, seeds, shared=3))
    go = jax.jit(spread(advance, seeds, shared=5), donate_argnums=0)
    values = jax.jit(spread(lambda walk, method: method.values(walk.learned).q, seeds, shared=1))

    def run(key, points, initial_value):
        first, *keys = jr.split(key, points + 1)
        q = np.where(world.terminal[:, None], 0, np.full_like(exact, initial_value))
        walk, looks = start(jr.split(first, seeds), q, method, world), []
        for key in keys:
            walk, look = go(walk, jr.split(key, seeds), *shared)
            looks.append(jax.tree.map(np.asarray, look))
        together = jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *looks)
        return np.asarray(values(walk, method)), together

    return run


def stepped(
    walk: Walk,
    draws: Float[Array, "5"],
    method: AbstractControl,
    world: Dynamics,
    gaps: Float[Array, "states actions"],
) -> Walk:
    """One step: act, see, learn, and count."""
    learned, place, tally = walk
    action = method.act(learned, place.state, place.time == 0, draws[0])
    place, seen = world.step(place, action, draws)
    learned = method.update(learned, seen, draws[1], discount=world.discount)
    ended = seen.terminated | seen.truncated
    earned = tally.earned + tally.weight * seen.reward
    tally = Tally(
        tally.episodes + ended,
        tally.returns + jnp.where(ended, earned, 0),
        tally.regret + tally.weight * gaps[seen.state, action],
        jnp.where(ended, 1, tally.weight * world.discount),
        jnp.where(ended, 0, earned),
    )
    return Walk(learned, place, tally)
