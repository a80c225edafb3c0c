"""CartPolePositions-v1: the cart and the pole without their velocities."""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from ..classic.cartpole import CartPole, CartPoleState
from ..protocol import AbstractEnvironment, Step


SEEN = (0, 2)  # of CartPole's four numbers: the position and the angle


class CartPolePositions(AbstractEnvironment[CartPoleState]):
    """CartPole of which only the cart's position and the pole's angle are seen.

    All else is as in the full task. One observation does not say which way the pole is falling:
    two in a row, or a memory, do.
    """

    cart_pole: CartPole

    @property
    def observation_space(self) -> gym.Space:
        """Position and angle; bounds are twice those of the task."""
        full = self.cart_pole.observation_space
        assert isinstance(full, gym.spaces.Box)
        low, high = full.low[list(SEEN)], full.high[list(SEEN)]
        return gym.spaces.Box(low, high, dtype=full.dtype)  # pyright: ignore[reportArgumentType]

    @property
    def action_space(self) -> gym.Space:
        """0 pushes left, 1 pushes right."""
        return self.cart_pole.action_space

    def reset(self, key: PRNGKeyArray) -> tuple[CartPoleState, Float[Array, "2"]]:
        """Draw every component uniformly in ±0.05, those that are not seen too."""
        state, observation = self.cart_pole.reset(key)
        return state, observation[jnp.array(SEEN)]

    def step(self, state: CartPoleState, action: Shaped[Array, ""]) -> tuple[CartPoleState, Step]:
        """Push the cart with 10 N for 0.02 s."""
        state, step = self.cart_pole.step(state, action)
        seen = step.observation[jnp.array(SEEN)]
        return state, Step(seen, step.reward, step.terminated, step.truncated)


def cart_pole_positions(
    sutton_barto_reward: bool = False, dtype: Any = jnp.float32
) -> CartPolePositions:
    """What the name CartPolePositions-v1 makes, without its limit on time."""
    return CartPolePositions(CartPole(sutton_barto_reward, dtype))
