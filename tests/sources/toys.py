"""A small random environment, behaviours that can be checked, and stepping by hand."""

import functools
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.envs.protocol import AbstractEnvironment, Step
from rewardtogo.nn.policies import AbstractBehaviour


class WalkState(eqx.Module):
    key: Any
    position: Any
    time: Any


class Walk(AbstractEnvironment[WalkState]):
    """A random walk that ends beyond ±1.5, is cut after `max_steps`, and may break on the way.

    What breaks is the observation of a step, its reward, the observation of a reset, or nothing
    before the episode is over.
    """

    max_steps: int = eqx.field(static=True, default=6)
    broken: str = eqx.field(static=True, default="nothing")

    @property
    def observation_space(self):
        return gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    @property
    def action_space(self):
        return gym.spaces.Discrete(2)

    def reset(self, key):
        key, draw = jr.split(key)
        position = jr.uniform(draw, (), jnp.float32, -1.0, 1.0)
        shown = jnp.where((jnp.abs(position) < 0.2) & (self.broken == "reset"), jnp.nan, position)
        return WalkState(key, position, jnp.zeros((), jnp.int32)), jnp.stack([shown, 0.0])

    def step(self, state, action):
        key, draw = jr.split(state.key)
        push = jnp.where(action == 1, 0.4, -0.4) + 0.3 * jr.normal(draw, (), jnp.float32)
        position, time = state.position + push, state.time + 1
        late, was_over = (time == 3) & (position > 0.8), jnp.abs(state.position) > 1.5
        nan_if = lambda choose, what, x: jnp.where(choose & (self.broken == what), jnp.nan, x)
        shown = nan_if(was_over, "after the end", nan_if(late, "observation", position))
        reward = nan_if(late, "reward", position + 10.0 * time)
        terminated, truncated = jnp.abs(position) > 1.5, time >= self.max_steps
        observation = jnp.stack([shown, time.astype(jnp.float32)])
        return WalkState(key, position, time), Step(observation, reward, terminated, truncated)


class Counting(AbstractBehaviour):
    """Acts at random, and writes down what it remembers: the steps since the border, from 10."""

    def act(self, observation, memory, *, key):
        action = jr.randint(key, observation.shape[:-1], 0, 2, jnp.int32)
        count, pair = memory
        return action, memory, (count + 1, pair + jnp.array([[1.0, 2.0]]))

    def initial_carry(self):
        return jnp.array(10, jnp.int32), jnp.array([10.0, 20.0])


@functools.cache
def compiled(env):
    return jax.jit(env.reset), jax.jit(env.step)


def stepped_by_hand(env, env_keys, actions, first=0):
    """Step each environment on its own with `actions`, `[time, env]`; reset at borders only.

    Episodes are numbered from `first`.

    Returns rows of `[time, env]`: observation, reward, next observation, terminated, truncated, and
    the number of steps since the episode began.
    """
    reset, step = compiled(env)
    columns = []
    for env_key, column in zip(env_keys, np.asarray(actions).T, strict=True):
        episode, since, rows = first, 0, []
        state, observation = reset(jr.fold_in(env_key, first))
        for action in column:
            state, out = step(state, action)
            row = (observation, out.reward, out.observation, out.terminated, out.truncated, since)
            rows.append([np.asarray(x) for x in row])
            observation, since = out.observation, since + 1
            if out.terminated or out.truncated:
                episode, since = episode + 1, 0
                state, observation = reset(jr.fold_in(env_key, episode))
        columns.append(rows)
    return [
        np.stack([np.stack([row[field] for row in rows]) for rows in columns], axis=1)
        for field in range(6)
    ]


def counted_by_hand(reward, boundary):
    """Per environment: the sum of finished episodes' returns, of their lengths, and their number,
    then the return and length of the one under way."""
    counts = []
    for rewards, ends in zip(np.asarray(reward).T, np.asarray(boundary).T, strict=True):
        total, length, done = 0.0, 0, [0.0, 0, 0]
        for r, end in zip(rewards, ends, strict=True):
            total, length = total + float(r), length + 1
            if end:
                done = [done[0] + total, done[1] + length, done[2] + 1]
                total, length = 0.0, 0
        counts.append([*done, total, length])
    return np.array(counts)
