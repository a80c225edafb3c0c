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

from ..devices import spread
from ..envs.host import AbstractPool
from ..envs.protocol import AbstractEnvironment
from ..losses.q_learning import max_value
from ..nn.distributions import AbstractDistribution, EpsilonGreedy
from ..nn.policies import AbstractPolicy
from ..sources.collectors.host import step_pool
from ..sources.collectors.rollout import repeated, select
from ..sources.task import AbstractTask, HostTask, JaxTask
from ..types import Scalar


# An episode of an environment without a limit of its own is cut here.
MAX_STEPS = 10_000

# The final evaluation of every run uses the same episodes.
EVALUATION_SEED = 0

# Keeps the evaluation's seeds apart from every seed of training.
APART = 2**31


class EvaluatedEpisodes(NamedTuple):
    """Undiscounted returns and lengths, `[seed, episode]`, and the gauge of action values."""

    returns: np.ndarray
    lengths: np.ndarray
    q_minus_return: np.ndarray | None = None  # for policies that are greedy in a Q̂


EpisodeEvaluator = Callable[[PyTree, int], EvaluatedEpisodes]


"""From the arrays of every seed's learner, and a seed, to what was found."""


def make_evaluator(
    task: AbstractTask,
    policy_of: Callable[[PyTree], AbstractPolicy],
    *,
    num_seeds: int,
    num_episodes: int,
    discount: Scalar | None = None,
) -> EpisodeEvaluator:
    r"""Return `(arrays, seed) → Episodes`: each training seed's policy on fresh episodes.

    In JAX all seeds get the same start states; on the host each gets its own.

    With a `discount` γ, and a policy that is greedy in a $\hat Q$, an episode of $T$ steps gauges

    $$\hat Q(s_0, a_0) - \sum_{t<T} \gamma^t r_t - [\text{cut}]\,\gamma^T \max_a \hat Q(s_T, a)$$

    of mean 0 where $\hat Q$ is that policy's own; van Hasselt et al. (2016), section
    "Overoptimism due to estimation errors". To leave out episodes that were cut would keep those
    that failed; what $\hat Q$ says at the cut hides $\gamma^T$ of its bias.

    **Arguments:** `policy_of`: from one seed's arrays to its policy.
    """
    if isinstance(task, JaxTask):
        return _jax_evaluator(task, policy_of, num_seeds, num_episodes, discount)
    assert isinstance(task, HostTask)
    return _host_evaluator(task, policy_of, num_seeds, num_episodes, discount)


def believed_value(distribution: AbstractDistribution) -> Float[Array, "*batch"] | None:
    """Q̂ of the best action, where actions are chosen by their values."""
    if not isinstance(distribution, EpsilonGreedy):
        return None
    return max_value(distribution.action_values)


def _jax_evaluator(
    task: JaxTask, policy_of, num_seeds: int, num_episodes: int, discount: Scalar | None
) -> EpisodeEvaluator:
    max_steps = task.max_steps or MAX_STEPS

    def one_seed(arrays, key):
        return episode_returns(
            task.env,
            policy_of(arrays),
            num_episodes=num_episodes,
            max_steps=max_steps,
            discount=discount,
            key=key,
        )

    compiled = jax.jit(spread(one_seed, num_seeds, shared=1))

    def run(arrays: PyTree, seed: int) -> EvaluatedEpisodes:
        key = jr.fold_in(jr.key(seed), APART)
        return EvaluatedEpisodes(*jax.tree.map(np.asarray, compiled(arrays, key)))

    return run


def episode_returns(
    env: AbstractEnvironment,
    policy: AbstractPolicy,
    *,
    num_episodes: int,
    max_steps: int,
    key: PRNGKeyArray,
    discount: Scalar | None = None,
) -> tuple[Float[Array, " episode"], Int[Array, " episode"], Float[Array, " episode"] | None]:
    """Run `num_episodes` side by side to their ends, or to `max_steps`: `EvaluatedEpisodes`."""
    env_state, observation = jax.vmap(env.reset)(jr.split(key, num_episodes))
    carry = repeated(policy.initial_carry(), num_episodes)
    static = eqx.filter((env_state, carry), eqx.is_array, inverse=True)
    gauged = discount is not None and believed_value(policy(observation, carry)[0]) is not None

    def going(now):
        *_, alive, cut, _, _ = now
        return jnp.any(alive | cut)

    def step(now):
        arrays, observation, alive, cut, played, time = now
        env_state, carry = eqx.combine(arrays, static)
        distribution, carry = policy(observation, carry)
        env_state, out = jax.vmap(env.step)(env_state, distribution.mode())
        returns, lengths, surplus = played
        reward = jnp.where(alive, out.reward, 0).astype(returns.dtype)
        believed = believed_value(distribution)
        if discount is not None and believed is not None:
            # At the start; and against it, where the step before was the last before a cut.
            says = jnp.where(time == 0, believed, jnp.where(cut, -believed, 0))
            surplus = surplus + discount**time * (says - reward)
        played = (returns + reward, lengths + alive, surplus)
        ended = out.terminated | out.truncated | (time + 1 >= max_steps)
        cut = alive & ended & ~out.terminated & gauged
        arrays = eqx.filter((env_state, carry), eqx.is_array)
        return arrays, out.observation, alive & ~ended, cut, played, time + 1

    arrays = eqx.filter((env_state, carry), eqx.is_array)
    alive, zero = jnp.ones(num_episodes, bool), jnp.zeros(num_episodes)
    played = (zero, jnp.zeros(num_episodes, jnp.int32), zero)
    now = (arrays, observation, alive, ~alive, played, jnp.zeros((), jnp.int32))
    *_, (returns, lengths, surplus), _ = lax.while_loop(going, step, now)
    return returns, lengths, surplus if gauged else None


def _host_evaluator(
    task: HostTask, policy_of, num_seeds: int, num_episodes: int, discount: Scalar | None
) -> EpisodeEvaluator:
    num_envs = min(num_episodes, 10)

    def one_seed(arrays, observation, carry, begins):
        policy = policy_of(arrays)
        initial = repeated(policy.initial_carry(), num_envs)
        carry = initial if carry is None else select(begins, initial, carry)
        distribution, carry = policy(observation, carry)
        return distribution.mode(), carry, believed_value(distribution)

    act = jax.jit(spread(one_seed, num_seeds, shared=0))

    def run(arrays: PyTree, seed: int) -> EvaluatedEpisodes:
        with contextlib.closing(task.pool(num_envs, run_seed=seed + APART)) as pool:
            return _play(pool, ft.partial(act, arrays), num_seeds, num_episodes, discount)

    return run


def _play(
    pool: AbstractPool, act: Callable, num_seeds: int, num_episodes: int, discount: Scalar | None
) -> EvaluatedEpisodes:
    """Every environment plays its share of the episodes, whatever their lengths.

    To take the episodes that end first would favour short ones.
    """
    num_envs = pool.num_envs // num_seeds
    share = -(-num_episodes // num_envs)
    shape, limit = (num_seeds, num_envs), pool.max_episode_steps or MAX_STEPS
    by_seed = lambda x: x.reshape(*shape, *x.shape[1:])
    finished: list[list[tuple[float, int, float]]] = [[] for _ in range(pool.num_envs)]
    observation, carry, ended = pool.reset(), None, np.ones(pool.num_envs, bool)
    played = (np.zeros(pool.num_envs), np.zeros(pool.num_envs, int), np.zeros(pool.num_envs))
    believed = None
    while any(len(episodes) < share for episodes in finished):
        action, carry, believed = act(by_seed(observation), carry, by_seed(ended))
        step = step_pool(pool, num_seeds, action)
        total, length, surplus = played
        if discount is not None and believed is not None:
            says = np.where(length == 0, np.asarray(believed).reshape(-1), 0)
            surplus = surplus + discount**length * (says - step.reward)
        total, length = total + step.reward, length + 1
        ended = step.terminated | step.truncated | (length >= limit)
        cut = ended & ~step.terminated
        if discount is not None and believed is not None and cut.any():
            beyond = act(by_seed(step.next_observation), carry, by_seed(np.zeros_like(ended)))[2]
            surplus = surplus - np.where(cut, discount**length * np.asarray(beyond).reshape(-1), 0)
        for i in np.flatnonzero(ended):
            finished[i].append((float(total[i]), int(length[i]), float(surplus[i])))
        played = tuple(np.where(ended, 0, x) for x in (total, length, surplus))
        observation = step.observation
    rows = np.array([episodes[:share] for episodes in finished])  # [seed·env, episode, 3]
    rows = rows.reshape(num_seeds, -1, 3)[:, :num_episodes]
    gauge = None if discount is None or believed is None else rows[..., 2]
    return EvaluatedEpisodes(rows[..., 0], rows[..., 1].astype(int), gauge)
