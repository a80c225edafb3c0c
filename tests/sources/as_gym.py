"""An environment written in JAX as Gymnasium sees one, beginning episodes as our sources do."""

import gymnasium as gym
import jax
import jax.random as jr
import numpy as np

from rewardtogo.envs.host import InProcess, episode_seed
from sources.toys import compiled


fold_in = jax.jit(jr.fold_in)


class JaxAsGym(gym.Env):
    """Episode e resets with `fold_in(key, e)`, as `Rollout` does, whatever the seed it is given.

    With `gathers`, e counts the resets that were asked for, from the second on, and not those
    that follow the end of an episode: so a source of whole episodes numbers its gathers. The seed
    of episode 0 begins everything anew.
    """

    def __init__(self, env, key, first_seed, *, gathers=False):
        self.observation_space, self.action_space = env.observation_space, env.action_space
        if isinstance(env.action_space, gym.spaces.Box):
            box = env.action_space
            dtype = env.observation_space.dtype
            self.action_space = gym.spaces.Box(
                box.low.astype(dtype), box.high.astype(dtype), dtype=dtype
            )
        self._env, self._key, self._gathers, self._first_seed = env, key, gathers, first_seed
        self._episode, self._ended, self.seeds = -1, False, []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        if seed == self._first_seed:
            self._episode = 0
        elif not (self._gathers and self._ended):
            self._episode += 1
        self._ended = False
        number = max(self._episode - self._gathers, 0)
        self._state, observation = compiled(self._env)[0](fold_in(self._key, number))
        return np.asarray(observation), {}

    def step(self, action):
        self._state, out = compiled(self._env)[1](self._state, action)
        self._ended = bool(out.terminated | out.truncated)
        ends = bool(out.terminated), bool(out.truncated)
        return np.asarray(out.observation), float(out.reward), *ends, {}


def pool_of(env, env_keys, *, gathers=False, run_seed=0):
    """A pool of copies of `env`, one for each key, and the copies."""
    made = []

    def make():
        index = len(made)
        first_seed = episode_seed(run_seed, index, 0)
        made.append(JaxAsGym(env, env_keys[index], first_seed, gathers=gathers))
        return made[-1]

    dtype = env.observation_space.dtype
    return InProcess(make, len(env_keys), run_seed=run_seed, dtype=dtype), made
