"""Environments whose answers are known in closed form: for tests, not for learning."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from .classic.base import float_dtype, require_precision, symmetric_uniform
from .protocol import AbstractEnvironment, Step


class ChainState(eqx.Module):
    """The place in the corridor, from 0."""

    position: Int[Array, ""]


class Chain(AbstractEnvironment[ChainState]):
    r"""A corridor of `length` places: walk from the left end to the right one, which pays 1.

    From place $s$ the best return is $\gamma^{n - 2 - s}$ with $n$ places, by going right. The
    walls hold: left at 0 stays there. The right end terminates. Nothing is random.

    **Raises:** `ValueError` if `length` is not a whole number of at least 2.
    """

    length: int = eqx.field(static=True, default=5)
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    def __check_init__(self):
        if not isinstance(self.length, int) or self.length < 2:
            raise ValueError(f"length must be a whole number of at least 2, not {self.length!r}.")

    @property
    def observation_space(self) -> gym.Space:
        """The place, one-hot."""
        return gym.spaces.Box(0.0, 1.0, (self.length,), self.dtype)  # pyright: ignore[reportArgumentType]

    @property
    def action_space(self) -> gym.Space:
        """0 goes left, 1 goes right."""
        return gym.spaces.Discrete(2)

    def reset(self, key: PRNGKeyArray) -> tuple[ChainState, Float[Array, " length"]]:
        """Start at the left end; `key` is not used."""
        require_precision(self.dtype)
        position = jnp.zeros((), jnp.int32)
        return ChainState(position), self._observe(position)

    def step(self, state: ChainState, action: Shaped[Array, ""]) -> tuple[ChainState, Step]:
        """Go one place left or right."""
        moved = state.position + jnp.where(action == 1, 1, -1)
        position = jnp.clip(moved, 0, self.length - 1)
        terminated = position == self.length - 1
        return ChainState(position), Step(
            self._observe(position),
            terminated.astype(self.dtype),
            terminated,
            jnp.zeros_like(terminated),
        )

    def _observe(self, position: Int[Array, ""]) -> Float[Array, " length"]:
        return jax.nn.one_hot(position, self.length, dtype=self.dtype)


class ContinuousTargetState(eqx.Module):
    """What is seen, in [-1, 1)."""

    seen: Float[Array, "1"]


class ContinuousTarget(AbstractEnvironment[ContinuousTargetState]):
    r"""One step: see $o \sim U[-1, 1)$, answer $a$, earn $-(a - o/2)^2$.

    The best answer is $a = o/2$, worth 0; a Gaussian of mean $\mu$ and deviation $\sigma$ earns
    $-(\mu - o/2)^2 - \sigma^2$. Actions beyond ±1 are taken as they are. It terminates at once.
    """

    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    @property
    def observation_space(self) -> gym.Space:
        """One number."""
        return gym.spaces.Box(-1.0, 1.0, (1,), self.dtype)  # pyright: ignore[reportArgumentType]

    @property
    def action_space(self) -> gym.Space:
        """One number."""
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, key: PRNGKeyArray) -> tuple[ContinuousTargetState, Float[Array, "1"]]:
        """Draw what is seen."""
        seen = symmetric_uniform(key, 1, self.dtype)
        return ContinuousTargetState(seen), seen

    def step(
        self, state: ContinuousTargetState, action: Float[Array, "1"]
    ) -> tuple[ContinuousTargetState, Step]:
        """Pay for the distance; the observation stays."""
        error = jnp.asarray(action, self.dtype)[0] - 0.5 * state.seen[0]
        terminated = jnp.ones((), bool)
        return state, Step(state.seen, -(error**2), terminated, jnp.zeros_like(terminated))
