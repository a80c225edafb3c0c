"""Random batches and small networks in double precision."""

import gymnasium as gym
import jax.numpy as jnp
import numpy as np

from rewardtogo.nn.build import Architecture
from rewardtogo.types import Transition


OBSERVATION = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
DISCRETE = gym.spaces.Discrete(4)
CONTINUOUS = gym.spaces.Box(-1.0, 1.0, (2,), np.float64)


def networks(action_space, hidden=(5,)):
    return Architecture(OBSERVATION, action_space, hidden, "tanh", jnp.float64)


def random_batch(shape, action_space, *, seed=0, record=()):
    """Steps with leading axes `shape`; a fifth end, and a fifth, some of them the same, are cut."""
    rng = np.random.default_rng(seed)
    if isinstance(action_space, gym.spaces.Discrete):
        action = jnp.asarray(rng.integers(0, action_space.n, shape), jnp.int32)
    else:
        action = jnp.asarray(rng.uniform(-0.9, 0.9, (*shape, *action_space.shape)))
    return Transition(
        jnp.asarray(rng.normal(size=(*shape, 3))),
        action,
        jnp.asarray(rng.normal(size=shape)),
        jnp.asarray(rng.normal(size=(*shape, 3))),
        jnp.asarray(rng.random(shape) < 0.2),
        jnp.asarray(rng.random(shape) < 0.2),
        record,
    )
