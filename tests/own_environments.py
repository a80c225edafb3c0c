"""Environments as a user writes them: one for Gymnasium, one in JAX, with faults on demand."""

import os
import time
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np

from rewardtogo.envs.protocol import AbstractEnvironment, Step


class Walk(gym.Env):
    """Steps to the left (5) or to the right (6), which pays 1; an episode has 20 steps."""

    observation_space = gym.spaces.Box(-30.0, 30.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2, start=5)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, trouble: str = "none", at: int = 100, render_mode: str | None = None):
        self.trouble, self.at, self.render_mode = trouble, at, render_mode
        self.steps, self.place, self.time = 0, 0.0, 0

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.place, self.time = 0.0, 0
        return self._seen(), {}

    def step(self, action: Any):
        assert action in (5, 6), action
        self.steps, self.time = self.steps + 1, self.time + 1
        self.place += 2 * int(action) - 11
        if self.steps >= self.at:
            self._misbehave()
        reward = float("nan") if self._is_due("reward") else float(action == 6)
        return self._seen(), reward, False, self.time >= 20, {}

    def render(self):
        return np.full((20, 30, 3), int(10 * self.time) % 255, np.uint8)

    def _seen(self):
        return np.array([self.place, self.time / 10], np.float32)

    def _is_due(self, trouble: str) -> bool:
        return self.trouble == trouble and self.steps >= self.at

    def _misbehave(self):
        if self.trouble == "raise":
            raise RuntimeError("the motor burnt out")
        if self.trouble == "hang":
            time.sleep(1000)
        if self.trouble == "die":
            os._exit(7)


gym.register("Walk-v0", entry_point="own_environments:Walk")


class Count(gym.Env):
    """Observations are counted from 7."""

    observation_space = gym.spaces.Discrete(3, start=7)
    action_space = gym.spaces.Discrete(3)


gym.register("Count-v0", entry_point="own_environments:Count")


class Line(AbstractEnvironment):
    """The same in JAX: 20 steps, 1 for each to the right; its reward is NaN at `bad_place`."""

    bad_place: int = 100

    @property
    def observation_space(self) -> gym.Space:
        return gym.spaces.Box(-30.0, 30.0, (2,), np.float32)

    @property
    def action_space(self) -> gym.Space:
        return gym.spaces.Discrete(2)

    def reset(self, key):
        del key
        return jnp.zeros(2), jnp.zeros(2)

    def step(self, state, action):
        place, now = state[0] + 2 * action - 1, state[1] + 1
        state = jnp.stack([place, now])
        reward = jnp.where(place == self.bad_place, jnp.nan, (action == 1).astype(jnp.float32))
        return state, Step(state, reward, jnp.zeros((), bool), now >= 20)
