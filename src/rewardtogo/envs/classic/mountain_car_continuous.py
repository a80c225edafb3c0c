"""MountainCarContinuous-v0: the mountain car with a throttle, paid at the top for fuel saved."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...types import Scalar
from ..protocol import Step
from .base import AbstractClassicControl, as_scalar, float_dtype
from .mountain_car import MAX_POSITION, MAX_VELOCITY, MIN_POSITION, MountainCarState, drive, start


POWER = 0.0015
GOAL_POSITION = 0.45
GOAL_REWARD = 100.0
FUEL_COST = 0.1


class MountainCarContinuous(AbstractClassicControl[MountainCarState]):
    r"""The valley of `MountainCar` with a throttle $a \in [-1, 1]$ and a nearer goal.

    $$\dot x' = \dot x + 0.0015\,a - 0.0025\cos 3x, \qquad x' = x + \dot x', \qquad
    r = 100\,[\text{goal}] - 0.1\,a^2$$

    Moore (1990); the throttle and the reward are those of Gymnasium's task. The throttle is
    clipped for the motion but, as there, not for its cost. It terminates at $x \ge 0.45$ with a
    velocity of at least `goal_velocity`.
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
        """The throttle."""
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, key: PRNGKeyArray) -> tuple[MountainCarState, Float[Array, "2"]]:
        """Draw the position uniformly in [-0.6, -0.4), at rest."""
        state = start(key, self.dtype)
        return state, self.state_vector(state)

    def step(
        self, state: MountainCarState, action: Float[Array, "1"]
    ) -> tuple[MountainCarState, Step]:
        """Drive for one step."""
        throttle = jnp.asarray(action, self.dtype)[0]
        successor = drive(state, POWER * jnp.clip(throttle, -1.0, 1.0))
        arrived = successor.position >= GOAL_POSITION
        terminated = arrived & (successor.velocity >= self.goal_velocity)
        reward = jnp.where(terminated, GOAL_REWARD, 0.0) - FUEL_COST * throttle**2
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
