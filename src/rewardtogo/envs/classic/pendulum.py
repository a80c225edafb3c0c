"""Pendulum-v1: swing a rod up and hold it there, with too weak a motor."""

import math
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...types import Scalar
from ..protocol import Step
from .base import AbstractClassicControl, as_scalar, float_dtype, symmetric_uniform, wrap_angle


MASS = 1.0  # kg
LENGTH = 1.0  # m
TIME_STEP = 0.05  # s
MAX_VELOCITY = 8.0  # rad/s
MAX_TORQUE = 2.0  # N m
START_VELOCITY = 1.0  # rad/s; the angle starts anywhere


class PendulumState(eqx.Module):
    """Radians from upright, not wrapped, and radians per second."""

    angle: Float[Array, ""]
    angular_velocity: Float[Array, ""]


class Pendulum(AbstractClassicControl[PendulumState]):
    r"""A uniform rod of mass $m$ and length $l$ turned about its end by a torque $u$.

    $$\ddot\theta = \frac{3 g}{2 l}\sin\theta + \frac{3 u}{m l^2}, \qquad
    r = -(\theta^2 + 0.1\,\dot\theta^2 + 0.001\,u^2)$$

    Newton's law for a rod of inertia $m l^2/3$; semi-implicit Euler steps of 0.05 s, the torque
    clipped to ±2 N m and the rate to ±8 rad/s. The reward is that of the state left, with the
    angle wrapped to ±π. It never terminates. `g` is in m/s².
    """

    g: Scalar = eqx.field(default=10.0, converter=as_scalar)
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    @property
    def observation_space(self) -> gym.Space:
        """Cosine and sine of the angle, and its rate."""
        high = np.array([1.0, 1.0, MAX_VELOCITY], self.dtype)
        return gym.spaces.Box(-high, high, dtype=self.dtype)

    @property
    def action_space(self) -> gym.Space:
        """The torque in N m."""
        return gym.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)

    def reset(self, key: PRNGKeyArray) -> tuple[PendulumState, Float[Array, "3"]]:
        """Draw the angle uniformly in ±π and its rate in ±1 rad/s."""
        draw = symmetric_uniform(key, 2, self.dtype)
        state = PendulumState(math.pi * draw[0], START_VELOCITY * draw[1])
        return state, _observe(state)

    def step(self, state: PendulumState, action: Float[Array, "1"]) -> tuple[PendulumState, Step]:
        """Hold the torque for 0.05 s."""
        torque = jnp.clip(jnp.asarray(action, self.dtype)[0], -MAX_TORQUE, MAX_TORQUE)
        angle = wrap_angle(state.angle)
        cost = angle**2 + 0.1 * state.angular_velocity**2 + 0.001 * torque**2
        pull = 1.5 * jnp.asarray(self.g, self.dtype) / LENGTH * jnp.sin(state.angle)
        acceleration = pull + 3.0 / (MASS * LENGTH**2) * torque
        velocity = state.angular_velocity + TIME_STEP * acceleration
        velocity = jnp.clip(velocity, -MAX_VELOCITY, MAX_VELOCITY)
        successor = PendulumState(state.angle + TIME_STEP * velocity, velocity)
        never = jnp.zeros_like(torque, dtype=bool)
        return successor, Step(_observe(successor), -cost, never, never)

    def state_vector(self, state: PendulumState) -> Float[Array, "2"]:
        """Angle, angular velocity."""
        return jnp.stack([state.angle, state.angular_velocity], axis=-1)

    def state_from_vector(self, vector: Float[Array, "2"]) -> PendulumState:
        """Angle, angular velocity."""
        vector = jnp.asarray(vector, self.dtype)
        return PendulumState(vector[0], vector[1])


def _observe(state: PendulumState) -> Float[Array, "3"]:
    return jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle), state.angular_velocity], axis=-1)
