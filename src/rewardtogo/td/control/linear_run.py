"""Control with linear action values: many step sizes and seeds of an environment in one program."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium as gym
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ... import validate
from ...devices import spread
from ...envs.protocol import AbstractEnvironment
from ...envs.wrappers import TimeLimit
from ...free_memory import require_room
from ..steps.dynamics import Experience
from ..steps.step_sizes import ConstantStepSize
from ..values.features import AbstractFeatures, FeatureTable
from ..values.linear_action_values import linear_action_values
from .one_step import AbstractControl, ExpectedSarsa, QLearning, Sarsa


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearControl:
    r"""Episodes of each step size and seed, and the weights in the end.

    `lengths`: steps of each episode. `returns`: discounted from its first step. `truncated`:
    whether it was cut off. `weights`: $w_a$, to be read with `features`.
    """

    features: AbstractFeatures
    step_sizes: tuple[float, ...]
    lengths: Int[np.ndarray, "step_sizes seeds episodes"]
    returns: Float[np.ndarray, "step_sizes seeds episodes"]
    truncated: Bool[np.ndarray, "step_sizes seeds episodes"]
    weights: Float[np.ndarray, "step_sizes seeds features actions"]


def linear_control(
    environment: AbstractEnvironment,
    method: AbstractControl,
    features: AbstractFeatures,
    *,
    step_sizes: Sequence[float],
    discount: float = 1.0,
    episodes: int = 500,
    seeds: int = 20,
    seed: int = 0,
    max_steps: int | None = None,
) -> LinearControl:
    r"""Learn to act in `environment` with $Q(s,a) = w_a^\top x(s)$, from w = 0.

    Sutton and Barto (2018), section 10.1: with `Sarsa` the box of episodic semi-gradient SARSA.
    The seeds are those of the first states and of the actions, the same for every step size.

    **Arguments:** `method`: `QLearning`, `Sarsa` or `ExpectedSarsa`; its own step size is not used.
    `features`: of the observation, whose numbers are strung together; the number of a discrete
    one. `step_sizes`: α, in (0, 1]; see `LinearActionValues`. `max_steps`: an episode is
    truncated after so many, in place of the environment's own limit; None keeps that.
    **Raises:** `ValueError` for a number out of range, actions that are not discrete, observations
    that are no numbers, features of another width, a method that keeps tables, and more runs than
    there is room for.
    """
    check_numbers(step_sizes, discount, episodes=episodes, seeds=seeds)
    validate.whole_seed("seed", seed)
    if not isinstance(method, QLearning | Sarsa | ExpectedSarsa):
        raise ValueError(
            f"{type(method).__name__} keeps a table of states: with features there are QLearning, "
            "Sarsa and ExpectedSarsa."
        )
    if max_steps is not None:
        inner = environment.env if isinstance(environment, TimeLimit) else environment
        environment = TimeLimit(inner, max_steps)
    num_actions = _actions_of(environment)
    _check_width(environment, features)
    _check_room(len(step_sizes), seeds, episodes, features.size * num_actions)

    def run(step_size, key, method):
        sized = eqx.tree_at(lambda method: method.step_size, method, ConstantStepSize(step_size))
        learned = sized.init(linear_action_values(features, num_actions))
        follow = lambda learned, key: _episode(learned, key, sized, environment, discount)
        learned, ended = lax.scan(follow, learned, jr.split(key, episodes))
        return ended, sized.values(learned).weights

    keys = jr.split(jr.key(seed), seeds)
    sizes = jnp.repeat(jnp.asarray(step_sizes, jnp.result_type(float)), seeds)
    repeated: Key[Array, " runs"] = keys[jnp.tile(jnp.arange(seeds), len(step_sizes))]
    found = jax.jit(spread(run, len(sizes), shared=1))(sizes, repeated, method)
    shaped = lambda x: np.asarray(x).reshape(len(step_sizes), seeds, *x.shape[1:])
    (lengths, returns, truncated), weights = jax.tree.map(shaped, found)
    return LinearControl(
        features=features,
        step_sizes=tuple(step_sizes),
        lengths=lengths,
        returns=returns,
        truncated=truncated,
        weights=weights,
    )


def observed_range(
    environment: AbstractEnvironment,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high of every number that features see; of a discrete observation, its number's.

    **Raises:** `ValueError` for observations that are no numbers, and for those without bounds.
    """
    space = environment.observation_space
    if isinstance(space, gym.spaces.Discrete):
        return (float(space.start) - 0.5,), (float(space.start + space.n) - 0.5,)
    if not isinstance(space, gym.spaces.Box):
        raise ValueError(f"features need observations that are numbers; got {space}.")
    low, high = (np.ravel(x).astype(float) for x in (space.low, space.high))
    # A bound such as float32's largest number is none.
    without = np.flatnonzero((np.abs(low) > 1e30) | (np.abs(high) > 1e30))
    if without.size:
        raise ValueError(
            f"number {without[0]} of the observation has no bounds to lay features over. In Python "
            "features can have bounds of your own."
        )
    return tuple(low.tolist()), tuple(high.tolist())


class _Stride(NamedTuple):
    """An episode under way."""

    learned: Any
    state: Any
    observation: Float[Array, " dims"]
    time: Int[Array, ""]
    earned: Float[Array, ""]
    weight: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


def _episode(
    learned: Any,
    key: Key[Array, ""],
    method: AbstractControl,
    environment: AbstractEnvironment,
    discount: float,
) -> tuple[Any, tuple[Array, Array, Array]]:
    """Learn from one episode; its length, its return, and whether it was cut off."""
    reset_key, draws_key = jr.split(key)
    state, observation = environment.reset(reset_key)
    zero, no = jnp.zeros(()), jnp.asarray(False)

    def step(now: _Stride) -> _Stride:
        draws = jr.uniform(jr.fold_in(draws_key, now.time), (1 + method.num_draws,))
        action = method.act(now.learned, now.observation, now.time == 0, draws[0])
        state, after = environment.step(now.state, action)
        following = _vector(after.observation)
        reward = after.reward.astype(zero.dtype)
        truncated = after.truncated & ~after.terminated
        seen = Experience(now.observation, action, reward, following, after.terminated, truncated)
        return _Stride(
            method.update(now.learned, seen, draws[1:], discount=discount),
            state,
            following,
            now.time + 1,
            now.earned + now.weight * reward,
            now.weight * discount,
            after.terminated,
            truncated,
        )

    start = _Stride(learned, state, _vector(observation), jnp.int32(0), zero, zero + 1, no, no)
    end = lax.while_loop(lambda now: ~(now.terminated | now.truncated), step, start)
    return end.learned, (end.time, end.earned, end.truncated)


def _vector(observation: Array) -> Float[Array, " dims"]:
    return jnp.ravel(observation).astype(jnp.result_type(float))


def _actions_of(environment: AbstractEnvironment) -> int:
    space = environment.action_space
    if not isinstance(space, gym.spaces.Discrete) or space.start != 0:
        raise ValueError(f"SARSA and Q-learning need actions numbered from 0; got {space}.")
    return int(space.n)


def _check_width(environment: AbstractEnvironment, features: AbstractFeatures) -> None:
    space = environment.observation_space
    discrete = isinstance(space, gym.spaces.Discrete)
    if not (discrete or isinstance(space, gym.spaces.Box)):
        raise ValueError(f"features need observations that are numbers; got {space}.")
    width = 1 if discrete else int(np.prod(space.shape))
    if features.dims != width:
        raise ValueError(
            f"features of the wrong width: they are of observations of {features.dims} numbers, "
            f"and those of this environment have {width}."
        )
    if discrete and isinstance(features, FeatureTable) and len(features.matrix) != space.n:
        raise ValueError(
            f"features of the wrong width: `matrix` has {len(features.matrix)} rows, and there are "
            f"{space.n} states."
        )


def _check_room(num_sizes: int, seeds: int, episodes: int, num_weights: int) -> None:
    number = jnp.dtype(jnp.result_type(float)).itemsize
    episode = 4 + number + 1  # length, return, whether it was cut off
    require_room(
        num_sizes * seeds * (num_weights * number + episodes * episode),
        what=f"{num_sizes} step size(s) × `seeds` {seeds:,}",
        detail=f"each {num_weights:,} weights and {episodes:,} episodes",
        lower="`seeds`, `episodes` or the number of features",
    )


def check_numbers(step_sizes: Sequence[float], discount: float, **counts: int) -> None:
    """**Raises:** `ValueError` for one out of range."""
    if not len(step_sizes):
        raise ValueError("`step_sizes` is empty: at least one is needed.")
    for size in step_sizes:
        validate.in_interval("step_sizes", float(size), 0.0, 1.0, open_low=True)
    validate.unit_interval("discount", discount)
    for name, value in counts.items():
        validate.count(name, value)
