"""Trajectories of a tabular MDP, many at a time, by inverse distribution functions."""

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ...tabular.mdp import TabularMDP
from ...types import AnyArray


class Batch(eqx.Module):
    """Episodes of a horizon, padded and masked as those of `sources.episodes`.

    The horizon belongs to the task, so its last row is terminated and none is truncated. A
    finished episode waits in its terminal state, with reward 0 and outside the mask.
    """

    state: Int[AnyArray, "time *batch"]
    action: Int[AnyArray, "time *batch"]
    reward: Float[AnyArray, "time *batch"]
    next_state: Int[AnyArray, "time *batch"]
    terminated: Bool[AnyArray, "time *batch"]
    truncated: Bool[AnyArray, "time *batch"]
    mask: Bool[AnyArray, "time *batch"]


class Sampler(eqx.Module):
    """What a policy may do in an MDP, as cumulative sums over what is possible."""

    initial: Float[AnyArray, " states"]
    policy: Float[AnyArray, "states actions"]
    outcome: Float[AnyArray, "states actions outcomes"]
    successor: Int[AnyArray, "states actions outcomes"]
    reward: Float[AnyArray, "states actions outcomes"]
    noise: Float[AnyArray, "states actions"] | None  # a standard deviation
    terminal: Bool[AnyArray, " states"]


def sampler(mdp: TabularMDP, policy: Float[AnyArray, "states actions"]) -> Sampler:
    """Tabulate the process under `policy`; successors that cannot be reached are left out."""
    p = np.asarray(mdp.transition)
    outcomes = int((p > 0).sum(axis=2).max())
    successor = np.argsort(p == 0, axis=2, kind="stable")[:, :, :outcomes]
    mean = np.asarray(mdp.reward)[:, :, None]
    paid = mean if mdp.successor_reward is None else np.asarray(mdp.successor_reward)
    paid = np.broadcast_to(paid, p.shape)
    return Sampler(
        _cumulative(np.asarray(mdp.initial)),
        _cumulative(np.asarray(policy)),
        _cumulative(np.take_along_axis(p, successor, axis=2)),
        successor,
        np.take_along_axis(paid, successor, axis=2),
        None if mdp.reward_noise is None else np.sqrt(mdp.reward_noise),
        np.asarray(mdp.terminal),
    )


def _cumulative(p: np.ndarray) -> np.ndarray:
    """Sums of the last axis, out of a uniform draw's reach from the last possible entry on."""
    last = p.shape[-1] - 1 - np.argmax(p[..., ::-1] > 0, axis=-1)
    return np.where(np.arange(p.shape[-1]) >= last[..., None], 2.0, np.cumsum(p, axis=-1))


def sample(tables: Sampler, *, horizon: int, batches: int, batch: int, key: PRNGKeyArray) -> Batch:
    """Draw `batches` × `batch` independent trajectories; arrays are `[time, batches, batch]`."""
    start_key, key, noise_key = jr.split(key, 3)
    episodes = batches * batch
    uniform = jr.uniform(key, (horizon, 2, episodes))
    first = jnp.sum(_rows(tables.initial) <= jr.uniform(start_key, (episodes, 1)), axis=1)

    def step(state, levels):
        action = jnp.sum(jnp.asarray(tables.policy)[state] <= levels[0][:, None], axis=1)
        cumulative = jnp.asarray(tables.outcome)[state, action]
        outcome = jnp.sum(cumulative <= levels[1][:, None], axis=1)
        successor = jnp.asarray(tables.successor)[state, action, outcome]
        reward = jnp.asarray(tables.reward)[state, action, outcome]
        return successor, (state, action, reward, successor)

    _, (state, action, reward, successor) = lax.scan(step, first, uniform)
    if tables.noise is not None:
        deviation = jnp.asarray(tables.noise)[state, action]
        reward = reward + deviation * jr.normal(noise_key, reward.shape)
    shape = (horizon, batches, batch)
    state, action, reward, successor = (
        x.reshape(shape) for x in (state, action, reward, successor)
    )
    return episodes_of(state, action, reward, successor, tables.terminal)


def _rows(vector: Float[AnyArray, " n"]) -> Float[Array, "1 n"]:
    return jnp.asarray(vector)[None]


def episodes_of(
    state: Int[AnyArray, "time *batch"],
    action: Int[AnyArray, "time *batch"],
    reward: Float[AnyArray, "time *batch"],
    next_state: Int[AnyArray, "time *batch"],
    terminal: Bool[AnyArray, " states"],
) -> Batch:
    """A batch of steps, with its flags read from which states are terminal."""
    terminal = jnp.asarray(terminal)
    terminated = terminal[next_state].at[-1].set(True)
    mask = ~terminal[state]
    return Batch(state, action, reward, next_state, terminated, jnp.zeros_like(terminated), mask)
