"""How good is a policy? The mode of its actions, on episodes apart from training."""

import contextlib
import functools as ft
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .envs.host import AbstractPool
from .envs.protocol import AbstractEnvironment
from .nn.policies import AbstractPolicy
from .programs import spread
from .sources.host import step_pool
from .sources.rollout import repeated, select
from .worlds import AbstractWorld, HostWorld, JaxWorld


# An episode of an environment without a limit of its own is cut here.
MAX_STEPS = 10_000

# The final evaluation of every run uses the same episodes.
EVALUATION_SEED = 0

# Keeps the evaluation's seeds apart from every seed of training.
APART = 2**31


class Episodes(NamedTuple):
    """Undiscounted returns and lengths, `[seed, episode]`."""

    returns: np.ndarray
    lengths: np.ndarray


Evaluator = Callable[[PyTree, int], Episodes]


def make_evaluator(
    world: AbstractWorld,
    policy_of: Callable[[PyTree], AbstractPolicy],
    *,
    num_seeds: int,
    num_episodes: int,
) -> Evaluator:
    """Return `(arrays, seed) → Episodes`: each training seed's policy on fresh episodes.

    In JAX all seeds get the same start states; on the host each gets its own.

    **Arguments:** `policy_of`: from one seed's arrays to its policy.
    """
    if isinstance(world, JaxWorld):
        return _jax_evaluator(world, policy_of, num_seeds, num_episodes)
    assert isinstance(world, HostWorld)
    return _host_evaluator(world, policy_of, num_seeds, num_episodes)


def _jax_evaluator(world: JaxWorld, policy_of, num_seeds: int, num_episodes: int) -> Evaluator:
    max_steps = world.max_steps or MAX_STEPS

    def one_seed(arrays, key):
        return episode_returns(
            world.env, policy_of(arrays), num_episodes=num_episodes, max_steps=max_steps, key=key
        )

    compiled = jax.jit(spread(one_seed, num_seeds, shared=1))

    def run(arrays: PyTree, seed: int) -> Episodes:
        key = jr.fold_in(jr.key(seed), APART)
        return Episodes(*jax.tree.map(np.asarray, compiled(arrays, key)))

    return run


def episode_returns(
    env: AbstractEnvironment,
    policy: AbstractPolicy,
    *,
    num_episodes: int,
    max_steps: int,
    key: PRNGKeyArray,
) -> tuple[Float[Array, " episode"], Int[Array, " episode"]]:
    """Run `num_episodes` side by side to their ends, or to `max_steps`: returns and lengths."""
    env_state, observation = jax.vmap(env.reset)(jr.split(key, num_episodes))
    memory = repeated(policy.initial_memory(), num_episodes)
    alive = jnp.ones(num_episodes, bool)
    returns, lengths = jnp.zeros(num_episodes), jnp.zeros(num_episodes, jnp.int32)
    static = eqx.filter((env_state, memory), eqx.is_array, inverse=True)

    def going(carry):
        *_, alive, _, _, time = carry
        return jnp.any(alive) & (time < max_steps)

    def step(carry):
        arrays, observation, alive, returns, lengths, time = carry
        env_state, memory = eqx.combine(arrays, static)
        distribution, memory = policy(observation, memory)
        env_state, out = jax.vmap(env.step)(env_state, distribution.mode())
        returns = returns + jnp.where(alive, out.reward, 0).astype(returns.dtype)
        lengths = lengths + alive
        alive = alive & ~(out.terminated | out.truncated)
        arrays = eqx.filter((env_state, memory), eqx.is_array)
        return arrays, out.observation, alive, returns, lengths, time + 1

    arrays = eqx.filter((env_state, memory), eqx.is_array)
    carry = (arrays, observation, alive, returns, lengths, jnp.zeros((), jnp.int32))
    *_, returns, lengths, _ = lax.while_loop(going, step, carry)
    return returns, lengths


def _host_evaluator(world: HostWorld, policy_of, num_seeds: int, num_episodes: int) -> Evaluator:
    num_envs = min(num_episodes, 10)

    def one_seed(arrays, observation, memory, begins):
        policy = policy_of(arrays)
        initial = repeated(policy.initial_memory(), num_envs)
        memory = initial if memory is None else select(begins, initial, memory)
        distribution, memory = policy(observation, memory)
        return distribution.mode(), memory

    act = jax.jit(spread(one_seed, num_seeds, shared=0))

    def run(arrays: PyTree, seed: int) -> Episodes:
        with contextlib.closing(world.pool(num_envs, run_seed=seed + APART)) as pool:
            return _play(pool, ft.partial(act, arrays), num_seeds, num_episodes)

    return run


def _play(pool: AbstractPool, act: Callable, num_seeds: int, num_episodes: int) -> Episodes:
    """Every environment plays its share of the episodes, whatever their lengths.

    To take the episodes that end first would favour short ones.
    """
    num_envs = pool.num_envs // num_seeds
    share = -(-num_episodes // num_envs)
    shape, limit = (num_seeds, num_envs), pool.max_episode_steps or MAX_STEPS
    finished: list[list[tuple[float, int]]] = [[] for _ in range(pool.num_envs)]
    observation, memory, ended = pool.reset(), None, np.ones(pool.num_envs, bool)
    total, length = np.zeros(pool.num_envs), np.zeros(pool.num_envs, int)
    while any(len(episodes) < share for episodes in finished):
        by_seed = observation.reshape(*shape, *observation.shape[1:])
        action, memory = act(by_seed, memory, ended.reshape(shape))
        step = step_pool(pool, num_seeds, action)
        total, length = total + step.reward, length + 1
        ended = step.terminated | step.truncated | (length >= limit)
        for i in np.flatnonzero(ended):
            finished[i].append((float(total[i]), int(length[i])))
        total, length = np.where(ended, 0, total), np.where(ended, 0, length)
        observation = step.observation
    rows = np.array([episodes[:share] for episodes in finished])  # [seed·env, episode, 2]
    rows = rows.reshape(num_seeds, -1, 2)[:, :num_episodes]
    return Episodes(rows[..., 0], rows[..., 1].astype(int))
