"""Acrobot-v1: swing a two-link robot up by its middle joint."""

import math
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from ..protocol import Step
from .base import AbstractClassicControl, float_dtype, symmetric_uniform, wrap_angle


GRAVITY = 9.8  # m/s²
MASS = 1.0  # kg, either link
LENGTH = 1.0  # m, the first link
CENTRE = 0.5  # m, from a link's joint to its centre of mass
INERTIA = 1.0  # kg m², either link
TIME_STEP = 0.2  # s
MAX_VELOCITY_1 = 4 * math.pi  # rad/s
MAX_VELOCITY_2 = 9 * math.pi  # rad/s
START = 0.1  # every component starts in ±START


class AcrobotState(eqx.Module):
    """Radians from hanging down, radians relative to the first link, and their rates."""

    angle_1: Float[Array, ""]
    angle_2: Float[Array, ""]
    velocity_1: Float[Array, ""]
    velocity_2: Float[Array, ""]


class Acrobot(AbstractClassicControl[AcrobotState]):
    r"""Two equal links, the upper one hung from a fixed joint, a torque $\tau$ between them.

    $$\ddot\theta_2 = \frac{\tau + \frac{d_2}{d_1}\phi_1
      - m l l_c\dot\theta_1^2\sin\theta_2 - \phi_2}{m l_c^2 + I - d_2^2/d_1},\qquad
    \ddot\theta_1 = -\frac{d_2\ddot\theta_2 + \phi_1}{d_1}$$

    Sutton & Barto (1998), section 11.3 (Sutton, 1996, leaves out the term in $\dot\theta_1^2$).
    One Runge-Kutta step of fourth order every 0.2 s; angles are wrapped to ±π and rates clipped.
    It terminates with the tip a link's length above the joint; the reward is -1 a step, 0 at last.
    """

    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    @property
    def observation_space(self) -> gym.Space:
        """Cosine and sine of each angle, then both rates."""
        high = np.array([1.0, 1.0, 1.0, 1.0, MAX_VELOCITY_1, MAX_VELOCITY_2], self.dtype)
        return gym.spaces.Box(-high, high, dtype=self.dtype)

    @property
    def action_space(self) -> gym.Space:
        """Torque -1, 0 or 1 N m."""
        return gym.spaces.Discrete(3)

    def reset(self, key: PRNGKeyArray) -> tuple[AcrobotState, Float[Array, "6"]]:
        """Draw every component uniformly in ±0.1."""
        state = self.state_from_vector(START * symmetric_uniform(key, 4, self.dtype))
        return state, _observe(state)

    def step(self, state: AcrobotState, action: Shaped[Array, ""]) -> tuple[AcrobotState, Step]:
        """Hold the torque for 0.2 s."""
        torque = jnp.asarray(action, self.dtype) - 1.0
        moved = _runge_kutta(state, torque)
        successor = AcrobotState(
            wrap_angle(moved.angle_1),
            wrap_angle(moved.angle_2),
            jnp.clip(moved.velocity_1, -MAX_VELOCITY_1, MAX_VELOCITY_1),
            jnp.clip(moved.velocity_2, -MAX_VELOCITY_2, MAX_VELOCITY_2),
        )
        height = -jnp.cos(successor.angle_1) - jnp.cos(successor.angle_1 + successor.angle_2)
        terminated = height > 1.0
        reward = jnp.where(terminated, 0.0, -1.0).astype(self.dtype)
        return successor, Step(_observe(successor), reward, terminated, jnp.zeros_like(terminated))

    def state_vector(self, state: AcrobotState) -> Float[Array, "4"]:
        """Both angles, then both rates."""
        return jnp.stack(
            [state.angle_1, state.angle_2, state.velocity_1, state.velocity_2], axis=-1
        )

    def state_from_vector(self, vector: Float[Array, "4"]) -> AcrobotState:
        """Both angles, then both rates."""
        vector = jnp.asarray(vector, self.dtype)
        return AcrobotState(vector[0], vector[1], vector[2], vector[3])


def _observe(state: AcrobotState) -> Float[Array, "6"]:
    return jnp.stack(
        [
            jnp.cos(state.angle_1),
            jnp.sin(state.angle_1),
            jnp.cos(state.angle_2),
            jnp.sin(state.angle_2),
            state.velocity_1,
            state.velocity_2,
        ],
        axis=-1,
    )


def _derivative(state: AcrobotState, torque: Float[Array, ""]) -> AcrobotState:
    sin_2, cos_2 = jnp.sin(state.angle_2), jnp.cos(state.angle_2)
    coupling = MASS * LENGTH * CENTRE
    own = MASS * CENTRE**2 + INERTIA
    d1 = 2 * own + MASS * LENGTH**2 + 2 * coupling * cos_2
    d2 = own + coupling * cos_2
    phi2 = MASS * CENTRE * GRAVITY * jnp.sin(state.angle_1 + state.angle_2)
    phi1 = (
        phi2
        + MASS * (CENTRE + LENGTH) * GRAVITY * jnp.sin(state.angle_1)
        - coupling * sin_2 * state.velocity_2 * (state.velocity_2 + 2 * state.velocity_1)
    )
    ratio = d2 / d1
    drive = torque + ratio * phi1 - coupling * sin_2 * state.velocity_1**2 - phi2
    acceleration_2 = drive / (own - d2 * ratio)
    acceleration_1 = -ratio * acceleration_2 - phi1 / d1
    return AcrobotState(state.velocity_1, state.velocity_2, acceleration_1, acceleration_2)


def _advance(state: AcrobotState, slope: AcrobotState, time: float) -> AcrobotState:
    return AcrobotState(
        state.angle_1 + time * slope.angle_1,
        state.angle_2 + time * slope.angle_2,
        state.velocity_1 + time * slope.velocity_1,
        state.velocity_2 + time * slope.velocity_2,
    )


def _runge_kutta(state: AcrobotState, torque: Float[Array, ""]) -> AcrobotState:
    k1 = _derivative(state, torque)
    k2 = _derivative(_advance(state, k1, TIME_STEP / 2), torque)
    k3 = _derivative(_advance(state, k2, TIME_STEP / 2), torque)
    k4 = _derivative(_advance(state, k3, TIME_STEP), torque)
    slope = _advance(_advance(_advance(k1, k2, 2.0), k3, 2.0), k4, 1.0)
    return _advance(state, slope, TIME_STEP / 6)
