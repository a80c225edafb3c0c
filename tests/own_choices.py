"""Several doors at once, some of them locked: in JAX and in Gymnasium."""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.envs.protocol import AbstractEnvironment, Step


STEPS = 8
FORBIDDEN = -1000.0


def seen_space(sizes: tuple[int, ...], masked: bool) -> gym.Space:
    wanted = gym.spaces.Box(0.0, 10.0, (len(sizes),), np.float32)
    if not masked:
        return wanted
    return gym.spaces.Dict(
        {"observation": wanted, "action_mask": gym.spaces.MultiBinary(sum(sizes))}
    )


def choice_space(sizes: tuple[int, ...], start: int) -> gym.Space:
    if len(sizes) == 1:
        return gym.spaces.Discrete(sizes[0], start=start)
    return gym.spaces.MultiDiscrete(list(sizes), start=[start] * len(sizes))


class Doors(AbstractEnvironment):
    """Go through the wanted door of each row, which is what is seen: 1 for all, 8 times.

    Which doors are locked changes; to try a locked one costs 1000. After the last step all are.
    """

    sizes: tuple[int, ...] = (3, 2)
    masked: bool = True

    @property
    def observation_space(self) -> gym.Space:
        return seen_space(self.sizes, self.masked)

    @property
    def action_space(self) -> gym.Space:
        return choice_space(self.sizes, 0)

    def reset(self, key):
        state = self._draw(key, jnp.zeros((), jnp.int32))
        return state, self._seen(state)

    def step(self, state, action):
        wanted, allowed, now, key = state
        chosen = jnp.atleast_1d(action)
        places = jnp.asarray(np.cumsum([0, *self.sizes[:-1]]), jnp.int32)
        is_forbidden = ~jnp.all(allowed[places + chosen])
        reward = jnp.mean(chosen == wanted) + FORBIDDEN * is_forbidden
        after = self._draw(key, now + 1)
        return after, Step(self._seen(after), reward, jnp.zeros((), bool), now + 1 >= STEPS)

    def _draw(self, key, now):
        wanted_key, open_key, key = jr.split(key, 3)
        wanted = jr.randint(wanted_key, (len(self.sizes),), 0, jnp.asarray(self.sizes))
        is_wanted = [jnp.arange(n) == wanted[i] for i, n in enumerate(self.sizes)]
        is_open = jr.bernoulli(open_key, 0.4, (sum(self.sizes),)) | (not self.masked)
        allowed = (jnp.concatenate(is_wanted) | is_open) & (now < STEPS)
        return wanted, allowed, now, key

    def _seen(self, state) -> Any:
        wanted = state[0].astype(jnp.float32)
        if not self.masked:
            return wanted
        return {"observation": wanted, "action_mask": state[1].astype(jnp.int8)}


class HostDoors(gym.Env):
    """The same in Python, its doors counted from 5."""

    def __init__(self, sizes: tuple[int, ...] = (3, 2), masked: bool = True):
        self.sizes, self.masked = sizes, masked
        self.observation_space: Any = seen_space(sizes, masked)
        self.action_space: Any = choice_space(sizes, 5)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return self._seen(), {}

    def step(self, action: Any):
        assert self.action_space.contains(action), action
        chosen = np.atleast_1d(action) - 5
        places = np.cumsum([0, *self.sizes[:-1]])
        reward = float(np.mean(chosen == self.wanted))
        if not self.allowed[places + chosen].all():
            reward += FORBIDDEN
        self.time += 1
        return self._seen(), reward, False, self.time >= STEPS, {}

    def _seen(self) -> Any:
        self.wanted = self.np_random.integers(0, self.sizes)
        is_wanted = [np.arange(n) == w for n, w in zip(self.sizes, self.wanted, strict=True)]
        is_open = (self.np_random.uniform(size=sum(self.sizes)) < 0.4) | (not self.masked)
        self.allowed = np.concatenate(is_wanted) | is_open
        wanted = self.wanted.astype(np.float32)
        if not self.masked:
            return wanted
        mask = self.allowed & (self.time < STEPS)
        return {"observation": wanted, "action_mask": mask.astype(np.int8)}


gym.register("Doors-v0", entry_point="own_choices:HostDoors")
gym.register("OneRow-v0", entry_point="own_choices:HostDoors", kwargs={"sizes": (4,)})


def one_row() -> AbstractEnvironment:
    """One choice of four."""
    return Doors((4,))
