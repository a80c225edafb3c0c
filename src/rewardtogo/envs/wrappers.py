"""Environments around environments: a limit on time, actions in [-1, 1], flat observations."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ..spaces import dict_parts, flattened, is_flat_dict
from .protocol import AbstractEnvironment, Step


class TimeLimitState(eqx.Module):
    """The state inside, and the number of steps since its reset."""

    inner: Any
    time: Int[Array, ""]


class TimeLimit(AbstractEnvironment[TimeLimitState]):
    """End the record, not the process, after `max_steps` steps: `truncated` is set from then on.

    As in Gymnasium, a step may be both the last allowed and a terminal one; then both are set.

    **Raises:** `ValueError` if `max_steps` is not a whole number of at least 1.
    """

    env: AbstractEnvironment
    max_steps: int = eqx.field(static=True)

    def __check_init__(self):
        if not isinstance(self.max_steps, int) or self.max_steps < 1:
            raise ValueError(
                f"max_steps must be a whole number of at least 1, not {self.max_steps!r}."
            )

    @property
    def observation_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.observation_space

    @property
    def action_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.action_space

    def reset(self, key: PRNGKeyArray) -> tuple[TimeLimitState, Any]:
        """Reset the environment inside, at time 0."""
        inner, observation = self.env.reset(key)
        return TimeLimitState(inner, jnp.zeros((), jnp.int32)), observation

    def step(
        self, state: TimeLimitState, action: Shaped[Array, "..."]
    ) -> tuple[TimeLimitState, Step]:
        """Step the environment inside and count."""
        inner, step = self.env.step(state.inner, action)
        time = state.time + 1
        truncated = step.truncated | (time >= self.max_steps)
        return TimeLimitState(inner, time), Step(
            step.observation, step.reward, step.terminated, truncated
        )


class ScaledActions(AbstractEnvironment[Any]):
    """Give the environment inside the action that `scale_action` makes of one in [-1, 1].

    The state is that of the environment inside.

    **Raises:** `ValueError` if the action space is not a `Box` of floats.
    """

    env: AbstractEnvironment

    def __check_init__(self):
        scaled_action_space(self.env.action_space)

    @property
    def observation_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.observation_space

    @property
    def action_space(self) -> gym.Space:
        """[-1, 1] in the dimensions that have two finite bounds, the others as inside."""
        return scaled_action_space(self.env.action_space)

    def reset(self, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Reset the environment inside."""
        return self.env.reset(key)

    def step(self, state: Any, action: Float[Array, "..."]) -> tuple[Any, Step]:
        """Scale the action and step the environment inside."""
        return self.env.step(state, scale_action(self.env.action_space, action))


def inside_limit(
    wrap: Callable[[AbstractEnvironment], AbstractEnvironment], env: AbstractEnvironment
) -> AbstractEnvironment:
    """`wrap(env)`, but a limit on time stays the outermost."""
    if isinstance(env, TimeLimit):
        return TimeLimit(inside_limit(wrap, env.env), env.max_steps)
    return wrap(env)


class FlatObservations(AbstractEnvironment[Any]):
    """Put a dictionary of observations into one vector, as `gymnasium.spaces.flatten` would.

    Its parts stand in the order of the space, discrete ones one-hot. The state is that of the
    environment inside.

    **Raises:** `ValueError` if the observation space is no dictionary of boxes and discrete spaces.
    """

    env: AbstractEnvironment

    def __check_init__(self):
        if not is_flat_dict(self.env.observation_space):
            raise ValueError(
                "only a dictionary of Box and Discrete spaces can be flattened, not the "
                f"observation space {self.env.observation_space}."
            )

    @property
    def observation_space(self) -> gym.Space:
        """A vector, which knows where the mask of actions stands, if there is one."""
        return flattened(self.env.observation_space)

    @property
    def action_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.action_space

    def reset(self, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Reset the environment inside."""
        state, observation = self.env.reset(key)
        return state, self._flat(observation)

    def step(self, state: Any, action: Shaped[Array, "..."]) -> tuple[Any, Step]:
        """Step the environment inside."""
        state, step = self.env.step(state, action)
        return state, Step(
            self._flat(step.observation), step.reward, step.terminated, step.truncated
        )

    def _flat(self, observation: Mapping[str, Array]) -> Shaped[Array, " size"]:
        dtype = jax.dtypes.canonicalize_dtype(self.observation_space.dtype)
        spaces = dict_parts(self.env.observation_space)
        parts = [_vector(space, observation[key]) for key, space in spaces.items()]
        return jnp.concatenate([part.astype(dtype) for part in parts])


def _vector(space: gym.Space, part: Shaped[Array, "..."]) -> Shaped[Array, " size"]:
    if isinstance(space, gym.spaces.Discrete):
        return jax.nn.one_hot(part - int(space.start), int(space.n))
    return jnp.ravel(part)


def scaled_action_space(space: gym.Space) -> gym.spaces.Box:
    """Return the space that `scale_action` maps onto `space`: [-1, 1] where it has two bounds.

    Dimensions that lack a finite bound on either side keep what bounds they have.

    **Raises:** `ValueError` if `space` is not a `Box` of floats.
    """
    box = _float_box(space)
    bounded = np.isfinite(box.low) & np.isfinite(box.high)
    low = np.where(bounded, np.asarray(-1.0, box.dtype), box.low)
    high = np.where(bounded, np.asarray(1.0, box.dtype), box.high)
    return gym.spaces.Box(low, high, dtype=box.dtype)  # pyright: ignore[reportArgumentType]


def scale_action[T: (np.ndarray, jax.Array)](space: gym.Space, action: T) -> T:
    r"""Map an action in [-1, 1] onto `space`, clipping first.

    $$a' = \frac{h + l}{2} + \frac{h - l}{2}\,\operatorname{clip}(a, -1, 1)$$

    with the bounds $l, h$ of `space`. A dimension without two finite bounds passes unchanged.

    **Arguments:** `action`: NumPy or JAX floats, `(*batch, *space.shape)`; what comes back has
    its kind, shape and dtype, and lies within the bounds.
    **Raises:** `ValueError` if `space` is not a `Box` of floats, or the action has
    another trailing shape or no float dtype.
    """
    box = _float_box(space)
    rank = len(box.shape)
    if action.shape[action.ndim - rank :] != box.shape or action.ndim < rank:
        raise ValueError(
            f"an action of shape {action.shape} does not end in the action space's {box.shape}."
        )
    if not jnp.issubdtype(action.dtype, jnp.floating):
        raise ValueError(f"an action in [-1, 1] must have a float dtype, not {action.dtype}.")
    xp = jnp if isinstance(action, jax.Array) else np
    bounded = np.isfinite(box.low) & np.isfinite(box.high)
    low = np.where(bounded, box.low, -1.0).astype(action.dtype)
    high = np.where(bounded, box.high, 1.0).astype(action.dtype)
    # Halved before the sum, which could overflow where a bound stands for "none".
    centre, radius = high / 2 + low / 2, high / 2 - low / 2
    bounded, low, high, centre, radius = (
        np.broadcast_to(array, action.shape) for array in (bounded, low, high, centre, radius)
    )
    inside = xp.clip(centre + radius * xp.clip(action, -1.0, 1.0), low, high)
    return xp.where(bounded, inside, action)  # pyright: ignore[reportReturnType]


def _float_box(space: gym.Space) -> gym.spaces.Box:
    if not isinstance(space, gym.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"only a Box of floats can be scaled, not the action space {space}.")
    return space
