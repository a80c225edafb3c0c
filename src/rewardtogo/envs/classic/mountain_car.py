"""MountainCar-v0: drive an underpowered car out of a valley."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from ...types import Scalar
from ..protocol import Step
from .base import AbstractClassicControl, as_scalar, float_dtype, symmetric_uniform


FORCE = 0.001
GRAVITY = 0.0025
MIN_POSITION = -1.2
MAX_POSITION = 0.6
MAX_VELOCITY = 0.07
GOAL_POSITION = 0.5


class MountainCarState(eqx.Module):
    """Position along the track and its change a step."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]


class MountainCar(AbstractClassicControl[MountainCarState]):
    r"""A car in the valley $\sin 3x$ whose engine is weaker than gravity.

    $$\dot x' = \dot x + 0.001\,(a - 1) - 0.0025\cos 3x, \qquad x' = x + \dot x'$$

    Moore (1990); these equations: Sutton & Barto (2018), example 10.1. The velocity is clipped to
    ±0.07, the position to [-1.2, 0.6], and the left wall stops the car. It terminates at
    $x \ge 0.5$ with a velocity of at least `goal_velocity`; the reward is -1 a step.
    """

    goal_velocity: Scalar = eqx.field(default=0.0, converter=as_scalar)
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    @property
    def observation_space(self) -> gym.Space:
        """Position, velocity."""
        low = np.array([MIN_POSITION, -MAX_VELOCITY], self.dtype)
        high = np.array([MAX_POSITION, MAX_VELOCITY], self.dtype)
        return gym.spaces.Box(low, high, dtype=self.dtype)

    @property
    def action_space(self) -> gym.Space:
        """0 drives left, 1 coasts, 2 drives right."""
        return gym.spaces.Discrete(3)

    def reset(self, key: PRNGKeyArray) -> tuple[MountainCarState, Float[Array, "2"]]:
        """Draw the position uniformly in [-0.6, -0.4), at rest."""
        state = start(key, self.dtype)
        return state, self.state_vector(state)

    def step(
        self, state: MountainCarState, action: Shaped[Array, ""]
    ) -> tuple[MountainCarState, Step]:
        """Drive for one step."""
        successor = drive(state, FORCE * (jnp.asarray(action, self.dtype) - 1.0))
        arrived = successor.position >= GOAL_POSITION
        terminated = arrived & (successor.velocity >= self.goal_velocity)
        reward = jnp.full_like(successor.velocity, -1.0)
        return successor, Step(
            self.state_vector(successor), reward, terminated, jnp.zeros_like(terminated)
        )

    def state_vector(self, state: MountainCarState) -> Float[Array, "2"]:
        """Position, velocity."""
        return jnp.stack([state.position, state.velocity], axis=-1)

    def state_from_vector(self, vector: Float[Array, "2"]) -> MountainCarState:
        """Position, velocity."""
        vector = jnp.asarray(vector, self.dtype)
        return MountainCarState(vector[0], vector[1])


def start(key: PRNGKeyArray, dtype: np.dtype) -> MountainCarState:
    """Draw a car at rest, uniformly in [-0.6, -0.4).

    **Raises:** `ValueError` if `dtype` is float64 and 64-bit arrays are off.
    """
    offset = symmetric_uniform(key, 1, dtype)[0]
    return MountainCarState(-0.5 + 0.1 * offset, jnp.zeros_like(offset))


def drive(state: MountainCarState, thrust: Float[Array, ""]) -> MountainCarState:
    r"""Move one step: $\dot x' = \dot x + u - 0.0025\cos 3x$, $x' = x + \dot x'$, both clipped.

    Sutton & Barto (2018), example 10.1, with the engine's acceleration $u$ in place of
    $0.001 A$.
    """
    velocity = state.velocity + thrust - GRAVITY * jnp.cos(3.0 * state.position)
    velocity = jnp.clip(velocity, -MAX_VELOCITY, MAX_VELOCITY)
    position = jnp.clip(state.position + velocity, MIN_POSITION, MAX_POSITION)
    at_wall = (position <= MIN_POSITION) & (velocity < 0.0)
    return MountainCarState(position, jnp.where(at_wall, 0.0, velocity))
