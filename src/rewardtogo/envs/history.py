"""What of the past an observation holds: the last observations, and the last action.

The observation at step t alone need not say what the best action is. With `stack` n and
`past_action` a policy sees $(a_{t-n}, o_{t-n+1}, \\dots, a_{t-1}, o_t)$: the end of the history.
"""

import dataclasses
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, Shaped

from .. import validate
from ..spaces import action_mask, with_mask
from .protocol import AbstractEnvironment, Step
from .wrappers import inside_limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """How much of the past stands in each observation; `History()` is none.

    With `past_action` each observation, a vector or a discrete one, is followed by the action that
    led to it, in the environment's own units: one-hot where actions are discrete, and zeros at the
    first step. With `stack` the last n of these are joined along their last axis, the oldest
    first: d numbers become n·d, and an image has n times its channels. Before the first step all
    were like the first. A discrete observation becomes a one-hot vector.

    **Raises:** `ValueError` unless `stack` is a whole number of at least 1.
    """

    stack: int = 1
    """Observations that are seen together, this step's and those before."""
    past_action: bool = False
    """Whether an observation is followed by the action that led to it."""

    def __post_init__(self):
        validate.count("stack", self.stack)

    def around(self, env: AbstractEnvironment) -> AbstractEnvironment:
        """`env` with this history in its observations; `ValueError` if they cannot hold one."""
        if self == NO_HISTORY:
            return env
        return inside_limit(lambda env: WithHistory(env, self), env)

    def around_gym(self, env: gym.Env) -> gym.Env:
        """The same for a Gymnasium environment."""
        if self.past_action:
            env = WithPastAction(env)
        if self.stack == 1:
            return env
        if isinstance(env.observation_space, gym.spaces.Discrete):
            env = gym.wrappers.FlattenObservation(env)
            env = gym.wrappers.DtypeObservation(env, np.float32)
        joined = stacked(frame_space(env.observation_space), self.stack)
        frames = gym.wrappers.FrameStackObservation(env, self.stack)
        join = lambda several: np.concatenate(several, axis=-1)
        return gym.wrappers.TransformObservation(frames, join, joined)


NO_HISTORY = History()
"""An observation is what is seen now."""


class HistoryState(eqx.Module):
    """The state inside, and what was seen last, with its past."""

    inner: Any
    seen: Shaped[Array, "..."]


class WithHistory(AbstractEnvironment[HistoryState]):
    """An environment whose observations hold their history; `History.around` makes it.

    **Raises:** `ValueError` for observations that cannot be joined.
    """

    env: AbstractEnvironment
    history: History = eqx.field(static=True)

    def __check_init__(self):
        _ = self.observation_space

    @property
    def observation_space(self) -> gym.Space:
        """A box with the bounds of what is joined."""
        return stacked(self._frame_space, self.history.stack)

    @property
    def action_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.action_space

    def reset(self, key: PRNGKeyArray) -> tuple[HistoryState, Shaped[Array, "..."]]:
        """Reset the environment inside; the past is its first observation, again and again."""
        inner, observation = self.env.reset(key)
        size = flat_size(self.env.action_space)
        frame = self._frame(observation, jnp.zeros(size, jnp.float32))
        seen = jnp.concatenate([frame] * self.history.stack, axis=-1)
        return HistoryState(inner, seen), seen

    def step(self, state: HistoryState, action: Shaped[Array, "..."]) -> tuple[HistoryState, Step]:
        """Step the environment inside; the oldest of what was seen makes room for the newest."""
        inner, step = self.env.step(state.inner, action)
        frame = self._frame(step.observation, self._flat(self.env.action_space, action))
        seen = jnp.concatenate([state.seen[..., frame.shape[-1] :], frame], axis=-1)
        return HistoryState(inner, seen), Step(seen, step.reward, step.terminated, step.truncated)

    @property
    def _frame_space(self) -> gym.spaces.Box:
        action = self.env.action_space if self.history.past_action else None
        return frame_space(self.env.observation_space, action)

    def _frame(self, observation: Array, action: Array) -> Array:
        dtype, space = self._frame_space.dtype, self.env.observation_space
        if isinstance(space, gym.spaces.Discrete):
            observation = self._flat(space, observation)
        observation = observation.astype(dtype)
        if not self.history.past_action:
            return observation
        return jnp.concatenate([observation, action.astype(dtype)])

    def _flat(self, space: gym.Space, value: Array) -> Array:
        if isinstance(space, gym.spaces.Discrete):
            return jax.nn.one_hot(value, int(space.n), dtype=jnp.float32)
        return jnp.ravel(value)


class WithPastAction(gym.Wrapper):
    """A Gymnasium environment whose observations are followed by the action that led to them.

    **Raises:** `ValueError` for observations that are neither vectors nor discrete.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.observation_space = frame_space(env.observation_space, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        return self._joined(observation, np.zeros(flat_size(self.env.action_space))), info

    def step(self, action: Any):
        observation, *others = self.env.step(action)
        flat = gym.spaces.flatten(self.env.action_space, action)
        return self._joined(observation, np.asarray(flat)), *others

    def _joined(self, observation: Any, action: np.ndarray) -> np.ndarray:
        flat = np.asarray(gym.spaces.flatten(self.env.observation_space, observation))
        return np.concatenate([flat, action]).astype(self.observation_space.dtype)


def flat_size(space: gym.Space) -> int:
    """The length of a one-hot vector, or how many numbers a box holds."""
    return gym.spaces.flatdim(space)


def frame_space(observation: gym.Space, action: gym.Space | None = None) -> gym.spaces.Box:
    """What is joined: an observation, with `action` followed by such an action or zeros.

    Whole numbers become float32 beside an action, and a discrete observation one-hot.

    **Raises:** `ValueError` if `observation` is no vector where an action is to follow it, or a
    single number without an axis.
    """
    if isinstance(observation, gym.spaces.Discrete):
        observation = gym.spaces.Box(0.0, 1.0, (int(observation.n),), np.float32)
    if not isinstance(observation, gym.spaces.Box) or not observation.shape:
        raise ValueError(f"`stack` joins discrete observations and boxes; got {observation}.")
    if action is None:
        return observation
    if len(observation.shape) != 1:
        raise ValueError(
            "`past_action` follows observations that are discrete or vectors, not those of more "
            f"axes: {observation}. `stack` is for them too."
        )
    dtype = observation.dtype if np.issubdtype(observation.dtype, np.floating) else np.float32
    flat = gym.spaces.flatten_space(action)
    assert isinstance(flat, gym.spaces.Box)
    low = np.concatenate([observation.low, np.minimum(flat.low, 0)]).astype(dtype)
    high = np.concatenate([observation.high, np.maximum(flat.high, 0)]).astype(dtype)
    space = gym.spaces.Box(low, high, dtype=dtype)  # pyright: ignore[reportArgumentType]
    return with_mask(space, action_mask(observation))


def stacked(space: gym.spaces.Box, number: int) -> gym.spaces.Box:
    """The space of `number` elements of `space`, joined along their last axis.

    What is allowed now, where there is a mask, is what the last of them says.
    """
    low, high = (np.concatenate([bound] * number, axis=-1) for bound in (space.low, space.high))
    joined = gym.spaces.Box(low, high, dtype=space.dtype)  # pyright: ignore[reportArgumentType]
    before = (number - 1) * space.shape[-1]
    return with_mask(joined, action_mask(space), start=before)
