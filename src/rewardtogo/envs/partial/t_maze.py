"""TMaze-v0: a sign at the start says which way to turn at the other end of a corridor."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..classic.base import float_dtype, require_precision
from ..protocol import AbstractEnvironment, Step
from ..wrappers import TimeLimit


NORTH, EAST, SOUTH, WEST = range(4)
GOAL_REWARD = 4.0
PENALTY = -0.1  # for the wrong turn, and for standing still
# Observations, as Bakker draws them.
SIGN_NORTH, SIGN_SOUTH, CORRIDOR, JUNCTION = (0, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0)

STEPS_A_PLACE = 10  # of the limit on time; a random walk to the junction takes more


class TMazeState(eqx.Module):
    """The place in the corridor, from 0 to `length`, and on which side the goal is."""

    position: Int[Array, ""]
    goal_is_north: Bool[Array, ""]


class TMaze(AbstractEnvironment[TMazeState]):
    r"""Walk `length` steps east from the start to a junction, and turn to where the goal is.

    The goal is north or south, each with probability ½. It is seen at the start only: 011 for
    north, 110 for south; 101 is the corridor and 010 the junction. At the junction going north or
    south ends the episode, with 4 if the goal is there and −0.1 if not. Elsewhere they run into a
    wall, as west does at the start and east at the junction: to stand still costs 0.1. All else
    pays 0.

    Bakker (2002), *Reinforcement Learning with Long Short-Term Memory*, the T-maze. The best
    return is 4. A policy that sees no more than the current observation turns the right way with
    probability ½ at most: of either goal it makes the same choice at the junction.

    **Raises:** `ValueError` if `length` is not a whole number of at least 1.
    """

    length: int = eqx.field(static=True, default=20)
    dtype: Any = eqx.field(static=True, default=jnp.float32, converter=float_dtype)

    def __check_init__(self):
        if not isinstance(self.length, int) or self.length < 1:
            raise ValueError(f"length must be a whole number of at least 1, not {self.length!r}.")

    @property
    def observation_space(self) -> gym.Space:
        """Three numbers, each 0 or 1."""
        return gym.spaces.Box(0.0, 1.0, (3,), self.dtype)  # pyright: ignore[reportArgumentType]

    @property
    def action_space(self) -> gym.Space:
        """0 goes north, 1 east, 2 south, 3 west."""
        return gym.spaces.Discrete(4)

    def reset(self, key: PRNGKeyArray) -> tuple[TMazeState, Float[Array, "3"]]:
        """Start at the sign; draw the goal's side."""
        require_precision(self.dtype)
        state = TMazeState(jnp.zeros((), jnp.int32), jr.bernoulli(key))
        return state, self._observe(state)

    def step(self, state: TMazeState, action: Shaped[Array, ""]) -> tuple[TMazeState, Step]:
        """Go one place, or run into a wall."""
        sideways = (action == NORTH) | (action == SOUTH)
        turned = sideways & (state.position == self.length)
        found = turned & ((action == NORTH) == state.goal_is_north)
        ahead = (action == EAST).astype(jnp.int32) - (action == WEST).astype(jnp.int32)
        position = jnp.clip(state.position + ahead, 0, self.length)
        still = position == state.position
        reward = jnp.where(found, GOAL_REWARD, jnp.where(still, PENALTY, 0.0)).astype(self.dtype)
        after = TMazeState(position, state.goal_is_north)
        return after, Step(self._observe(after), reward, turned, jnp.zeros_like(turned))

    def _observe(self, state: TMazeState) -> Float[Array, "3"]:
        seen = lambda bits: jnp.array(bits, self.dtype)
        sign = jnp.where(state.goal_is_north, seen(SIGN_NORTH), seen(SIGN_SOUTH))
        along = jnp.where(state.position == self.length, seen(JUNCTION), seen(CORRIDOR))
        return jnp.where(state.position == 0, sign, along)


def t_maze(length: int = 20, dtype: Any = jnp.float32) -> TimeLimit:
    """What the name TMaze-v0 makes: a maze, with 10 steps a place to an episode."""
    return TimeLimit(TMaze(length, dtype), STEPS_A_PLACE * length)
