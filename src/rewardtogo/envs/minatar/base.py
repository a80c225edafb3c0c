"""What the MinAtar games share: rules apart from chance, sticky actions, a board of 10 × 10.

Young & Tian (2019), "MinAtar: An Atari-inspired testbed for thorough and reproducible
reinforcement learning experiments", arXiv:1903.03176.
"""

import abc
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, Shaped

from ...types import Scalar
from ..classic.base import as_scalar
from ..protocol import AbstractEnvironment, Step


SIZE = 10  # cells on a side of the board
OFF_BOARD = -1  # a column that marks no cell
STICKY_ACTION_PROB = 0.1  # Young & Tian (2019), section 2
NOOP, LEFT, UP, RIGHT, DOWN, FIRE = range(6)  # the actions of all games, in the original's order


class AbstractMinAtarGame[State, StartDraws, Draws](eqx.Module):
    """The rules of one game, deterministic given the draws, and the distribution of the draws.

    A test may inject the draws of another implementation; `MinAtar` draws them itself. Draws are
    pytrees, `()` where nothing is drawn. Shapes are fixed, counters and positions are int32.
    """

    @property
    @abc.abstractmethod
    def channels(self) -> tuple[str, ...]:
        """What each channel of an observation shows."""

    @property
    @abc.abstractmethod
    def actions(self) -> tuple[int, ...]:
        """Those of `NOOP` … `FIRE` that have an effect of their own: the minimal action set."""

    @abc.abstractmethod
    def draw_start(self, key: PRNGKeyArray) -> StartDraws:
        """Draw what is random in a start."""

    @abc.abstractmethod
    def start(self, draws: StartDraws) -> State:
        """Return the state at the start of an episode."""

    @abc.abstractmethod
    def draw(self, state: State, key: PRNGKeyArray) -> Draws:
        """Draw what is random in one step from `state`, whether or not the step will need it."""

    @abc.abstractmethod
    def advance(
        self, state: State, action: Int[Array, ""], draws: Draws
    ) -> tuple[State, Int[Array, ""], Bool[Array, ""]]:
        """Return the successor, the reward, and whether the game is over.

        `action` is one of `NOOP` … `FIRE`, whether in the minimal set or not. A step from a state
        in which the game is over has no meaning; it stays within its arrays.
        """

    @abc.abstractmethod
    def observe(self, state: State) -> Bool[Array, "10 10 channels"]:
        """Show the board: row from the top, column from the left, channel."""


class MinAtarState(eqx.Module):
    """The game's state, the action that was played last, and the key of the next step."""

    game: Any
    last_action: Int[Array, ""]
    key: PRNGKeyArray


class MinAtar(AbstractEnvironment[MinAtarState]):
    """A game played with its minimal action set and sticky actions, as in "MinAtar/…-v1".

    With probability `sticky_action_prob` a step plays the last step's action in place of the one
    given: Machado et al. (2018), section 5.2. At the start of every episode the last action is
    `NOOP`, where the original keeps that of the episode before. The game's own end is
    `terminated`; nothing is truncated.

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """

    game: AbstractMinAtarGame
    sticky_action_prob: Scalar = eqx.field(
        default=STICKY_ACTION_PROB, converter=as_scalar, kw_only=True
    )

    def __check_init__(self):
        probability = self.sticky_action_prob
        if isinstance(probability, float) and not 0 <= probability <= 1:
            raise ValueError(f"sticky_action_prob must be in [0, 1], not {probability!r}.")

    @property
    def observation_space(self) -> gym.Space:
        """Row, column, channel: whether the channel's thing is there."""
        shape = (SIZE, SIZE, len(self.game.channels))
        return gym.spaces.Box(0.0, 1.0, shape, dtype=np.dtype(bool))  # pyright: ignore

    @property
    def action_space(self) -> gym.Space:
        """Positions in `game.actions`."""
        return gym.spaces.Discrete(len(self.game.actions))

    def reset(self, key: PRNGKeyArray) -> tuple[MinAtarState, Bool[Array, "10 10 channels"]]:
        """Start an episode."""
        next_key, start_key = jr.split(key)
        game = self.game.start(self.game.draw_start(start_key))
        last_action = jnp.full((), NOOP, jnp.int32)
        return MinAtarState(game, last_action, next_key), self.game.observe(game)

    def step(self, state: MinAtarState, action: Shaped[Array, ""]) -> tuple[MinAtarState, Step]:
        """Play the action, or the last one again."""
        next_key, sticky_key, draw_key = jr.split(state.key, 3)
        chosen = jnp.asarray(self.game.actions, jnp.int32)[action]
        sticks = jr.bernoulli(sticky_key, self.sticky_action_prob)
        played = jnp.where(sticks, state.last_action, chosen)
        draws = self.game.draw(state.game, draw_key)
        game, reward, terminated = self.game.advance(state.game, played, draws)
        # Or the compiler works out the whole step again for every cell of the board.
        game = jax.lax.optimization_barrier(game)
        return MinAtarState(game, played, next_key), Step(
            self.game.observe(game),
            reward.astype(jnp.float32),
            terminated,
            jnp.zeros_like(terminated),
        )


def on_board(
    row: Int[Array, " objects"], column: Int[Array, " objects"], present: Bool[Array, " objects"]
) -> Bool[Array, "10 10"]:
    """Mark the cells of the objects that are present and within the board."""
    side = jnp.arange(SIZE)
    rows = (row[:, None] == side[None]) & present[:, None]
    columns = column[:, None] == side[None]
    return jnp.any(rows[:, :, None] & columns[:, None, :], axis=0)


def on_cell(row: Int[Array, ""] | int, column: Int[Array, ""] | int) -> Bool[Array, "10 10"]:
    """Mark one cell; none if it lies outside the board."""
    side = jnp.arange(SIZE)
    return (side == row)[:, None] & (side == column)[None]


def one_a_row(column: Int[Array, "10 channels"]) -> Bool[Array, "10 10 channels"]:
    """Mark at most one cell for each row and channel; none where `column` is off the board."""
    return column[:, None, :] == jnp.arange(SIZE)[None, :, None]
