"""Small Gymnasium environments, which worker processes can import too."""

import os
import signal
import time
from dataclasses import dataclass

import gymnasium as gym
import numpy as np


FAULTS = {
    "none": lambda: None,
    "raise": lambda: 1 / 0,
    "hang": lambda: time.sleep(1000),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


class Scripted(gym.Env):
    """Shows (its seed, the step, the last action), pays the action, ends after `length` steps.

    What goes wrong, goes wrong at `fault_step` (0 is the reset) of the episode of `fault_seed`.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def __init__(self, length=3, fault="none", fault_step=2, fault_seed=None, start=0):
        self.action_space = gym.spaces.Discrete(4, start=start)
        self.length, self.fault = length, fault
        self.fault_step, self.fault_seed = fault_step, fault_seed

    def reset(self, *, seed=None, options=None):
        self.seed, self.time = seed, 0
        return self._observe(0), {}

    def step(self, action):
        assert type(action) is int
        self.time += 1
        observation, reward = self._observe(action), float(action)
        if self._is_due() and self.fault == "shape":
            observation = observation[:1]
        if self._is_due() and self.fault == "reward":
            reward = [1.0, 2.0]
        return observation, reward, self.time == self.length, False, {}

    def _observe(self, action):
        if self._is_due() and self.fault in FAULTS:
            FAULTS[self.fault]()
        return np.array([self.seed, self.time, action], np.float64)

    def _is_due(self):
        return self.time == self.fault_step and self.fault_seed in (None, self.seed)


class Discrete(gym.Env):
    """Counts down from 9 to 7, and shows the count."""

    observation_space = gym.spaces.Discrete(3, start=7)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.count = 9
        return self.count, {}

    def step(self, action):
        action += 1.0  # what an environment is given is its own to change
        self.count -= 1
        return self.count, float(action.sum()), self.count == 7, False, {}


class Image(gym.Env):
    """A picture of bytes."""

    observation_space = gym.spaces.Box(0, 255, (2, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.full((2, 3), 7, np.uint8), {}

    def step(self, action):
        return np.full((2, 3), 255, np.uint8), 0.0, False, False, {}


@dataclass(frozen=True)
class MakeScripted:
    length: int = 3
    fault: str = "none"
    fault_step: int = 2
    fault_seed: int | None = None
    start: int = 0

    def __call__(self):
        return Scripted(self.length, self.fault, self.fault_step, self.fault_seed, self.start)


def needs_a_package() -> gym.Env:
    raise gym.error.DependencyNotInstalled("box of bricks is not installed")


gym.register("Scripted-v0", entry_point="host_helpers:Scripted", max_episode_steps=2)
gym.register("NeedsAPackage-v0", entry_point="host_helpers:needs_a_package")
