"""A task seen as pictures, in JAX and in Gymnasium, and there as a dictionary too."""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.envs.protocol import AbstractEnvironment, Step


SIDE, STEPS = 10, 8
PICTURE = gym.spaces.Box(0, 255, (SIDE, SIDE, 2), np.uint8)


class Spot(AbstractEnvironment):
    """Say in which half the bright spot is (0 left, 1 right): 1 if right; 8 steps an episode.

    With `turn` the action is a number whose sign is the answer.
    """

    turn: bool = False

    @property
    def observation_space(self) -> gym.Space:
        return PICTURE

    @property
    def action_space(self) -> gym.Space:
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32) if self.turn else gym.spaces.Discrete(2)

    def reset(self, key):
        state = (jr.randint(key, (2,), 0, SIDE), jnp.zeros((), jnp.int32), key)
        return state, _picture(state[0])

    def step(self, state, action):
        place, now, key = state
        answer = action[0] > 0 if self.turn else action == 1
        draw_key, key = jr.split(key)
        after = jr.randint(draw_key, (2,), 0, SIDE)
        reward = ((place[1] >= SIDE // 2) == answer).astype(jnp.float32)
        step = Step(_picture(after), reward, jnp.zeros((), bool), now + 1 >= STEPS)
        return (after, now + 1, key), step


def _picture(place):
    """The spot in the second channel; the first is always dark."""
    return jnp.zeros(PICTURE.shape, jnp.uint8).at[place[0], place[1], 1].set(255)


class HostSpot(gym.Env):
    """The same in Python."""

    observation_space: Any = PICTURE
    action_space: Any = gym.spaces.Discrete(2)

    time = 0

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return self._seen(), {}

    def step(self, action: Any):
        self.time += 1
        reward = float((self.place[1] >= SIDE // 2) == (action == 1))
        return self._seen(), reward, False, self.time >= STEPS, {}

    def _seen(self) -> Any:
        self.place = self.np_random.integers(0, SIDE, 2)
        picture = np.zeros(PICTURE.shape, np.uint8)
        picture[self.place[0], self.place[1], 1] = 255
        return picture


gym.register("Spot-v0", entry_point="own_images:HostSpot")


class ToldSpot(HostSpot):
    """The same in words: where the spot is, beside what does not matter."""

    def __init__(self, inside: gym.Space | None = None):
        self.observation_space = gym.spaces.Dict(
            {
                "side": gym.spaces.Discrete(SIDE, start=3),
                "time": gym.spaces.Box(0.0, 1.0, (1, 2), np.float64),
            }
            | ({} if inside is None else {"inside": inside})
        )

    def _seen(self) -> Any:
        self.place = self.np_random.integers(0, SIDE, 2)
        time = np.array([[self.time / STEPS, 0.5]])
        return {"side": int(self.place[1]) + 3, "time": time}


gym.register("ToldSpot-v0", entry_point="own_images:ToldSpot")
