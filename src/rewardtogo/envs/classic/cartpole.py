"""CartPole-v1: keep a pole upright on a cart that is pushed left or right."""

import math
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from ..protocol import Step
from .base import AbstractClassicControl, float_dtype, symmetric_uniform


GRAVITY = 9.8  # m/s²
TOTAL_MASS = 1.1  # kg, cart and pole
POLE_MASS = 0.1  # kg
HALF_LENGTH = 0.5  # m, from the hinge to the pole's centre of mass
FORCE = 10.0  # N
TIME_STEP = 0.02  # s
MAX_POSITION = 2.4  # m
MAX_ANGLE = math.radians(12.0)
START = 0.05  # every component starts in ±START


class CartPoleState(eqx.Module):
    """Metres, metres per second, radians from upright, radians per second."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]
    angle: Float[Array, ""]
    angular_velocity: Float[Array, ""]


class CartPole(AbstractClassicControl[CartPoleState]):
    r"""The pole of mass $m$ and half length $l$ on a cart, total mass $M$, without friction.

    $$\ddot\theta = \frac{g\sin\theta - \nu\cos\theta}{l(4/3 - m\cos^2\theta/M)},\qquad
    \ddot x = \nu - \frac{m l\,\ddot\theta\cos\theta}{M},\qquad
    \nu = \frac{F + m l\,\dot\theta^2\sin\theta}{M}$$

    Barto, Sutton & Anderson (1983), appendix, without its friction terms; integrated by Euler's
    method with steps of 0.02 s. It terminates beyond 2.4 m or 12°. The reward is 1 a step; with
    `sutton_barto_reward`, 0 a step and -1 at termination.
    """

    sutton_barto_reward: bool = eqx.field(static=True, default=False)
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    @property
    def observation_space(self) -> gym.Space:
        """Position, velocity, angle, angular velocity; bounds are twice those of the task."""
        high = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], self.dtype)
        return gym.spaces.Box(-high, high, dtype=self.dtype)

    @property
    def action_space(self) -> gym.Space:
        """0 pushes left, 1 pushes right."""
        return gym.spaces.Discrete(2)

    def reset(self, key: PRNGKeyArray) -> tuple[CartPoleState, Float[Array, "4"]]:
        """Draw every component uniformly in ±0.05."""
        vector = START * symmetric_uniform(key, 4, self.dtype)
        return self.state_from_vector(vector), vector

    def step(self, state: CartPoleState, action: Shaped[Array, ""]) -> tuple[CartPoleState, Step]:
        """Push the cart with 10 N for 0.02 s."""
        sin, cos = jnp.sin(state.angle), jnp.cos(state.angle)
        force = jnp.where(action == 1, FORCE, -FORCE)
        moment = POLE_MASS * HALF_LENGTH
        push = (force + moment * state.angular_velocity**2 * sin) / TOTAL_MASS
        inertia = HALF_LENGTH * (4.0 / 3.0 - POLE_MASS / TOTAL_MASS * cos**2)
        angular_acceleration = (GRAVITY * sin - cos * push) / inertia
        acceleration = push - moment / TOTAL_MASS * angular_acceleration * cos
        successor = CartPoleState(
            state.position + TIME_STEP * state.velocity,
            state.velocity + TIME_STEP * acceleration,
            state.angle + TIME_STEP * state.angular_velocity,
            state.angular_velocity + TIME_STEP * angular_acceleration,
        )
        fallen = jnp.abs(successor.angle) > MAX_ANGLE
        terminated = fallen | (jnp.abs(successor.position) > MAX_POSITION)
        reward = -1.0 * terminated if self.sutton_barto_reward else jnp.ones_like(force)
        return successor, Step(
            self.state_vector(successor),
            reward.astype(self.dtype),
            terminated,
            jnp.zeros_like(terminated),
        )

    def state_vector(self, state: CartPoleState) -> Float[Array, "4"]:
        """Position, velocity, angle, angular velocity."""
        return jnp.stack(
            [state.position, state.velocity, state.angle, state.angular_velocity], axis=-1
        )

    def state_from_vector(self, vector: Float[Array, "4"]) -> CartPoleState:
        """Position, velocity, angle, angular velocity."""
        vector = jnp.asarray(vector, self.dtype)
        return CartPoleState(vector[0], vector[1], vector[2], vector[3])
