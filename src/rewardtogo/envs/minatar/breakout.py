"""MinAtar's Breakout: a paddle, a ball on the diagonals, three rows of bricks."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ...types import Scalar
from .base import (
    LEFT,
    NOOP,
    OFF_BOARD,
    RIGHT,
    SIZE,
    STICKY_ACTION_PROB,
    AbstractMinAtarGame,
    MinAtar,
    on_cell,
    one_a_row,
)


TOP_BRICK_ROW = 1
BRICK_ROWS = 3
BALL_START_ROW = 3
PADDLE_START = 4
LAST = SIZE - 1
BRICK_CHANNEL = 3


class BreakoutState(eqx.Module):
    """Cells count from the top left; `ball_right` and `ball_down` are the ball's direction."""

    ball_row: Int[Array, ""]
    ball_column: Int[Array, ""]
    ball_right: Bool[Array, ""]
    ball_down: Bool[Array, ""]
    last_row: Int[Array, ""]
    last_column: Int[Array, ""]
    paddle: Int[Array, ""]
    bricks: Bool[Array, "3 10"]
    inside: Bool[Array, ""]  # the ball has just struck a brick, and passes through the next


class Breakout(AbstractMinAtarGame[BreakoutState, Bool[Array, ""], tuple[()]]):
    """A brick is worth 1, and the game is over when the ball passes the paddle's row.

    Young & Tian (2019), section 3. The ball bounces off walls, bricks and paddle; bricks come
    anew when it reaches the paddle's row and none are left. Only the side on which the ball
    starts is random, and nothing becomes harder with time.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """The trail is where the ball was one step ago."""
        return ("paddle", "ball", "trail", "brick")

    @property
    def actions(self) -> tuple[int, ...]:
        """Stay, left, right."""
        return (NOOP, LEFT, RIGHT)

    def draw_start(self, key: PRNGKeyArray) -> Bool[Array, ""]:
        """Whether the ball starts on the right."""
        return jr.bernoulli(key)

    def start(self, draws: Bool[Array, ""]) -> BreakoutState:
        """Place the ball at one side, falling towards the other."""
        row = jnp.full((), BALL_START_ROW, jnp.int32)
        column = jnp.where(draws, LAST, 0).astype(jnp.int32)
        return BreakoutState(
            ball_row=row,
            ball_column=column,
            ball_right=~draws,
            ball_down=jnp.ones_like(draws),
            last_row=row,
            last_column=column,
            paddle=jnp.full((), PADDLE_START, jnp.int32),
            bricks=jnp.ones((BRICK_ROWS, SIZE), bool),
            inside=jnp.zeros_like(draws),
        )

    def draw(self, state: BreakoutState, key: PRNGKeyArray) -> tuple[()]:
        """Nothing is drawn."""
        return ()

    def advance(
        self, state: BreakoutState, action: Int[Array, ""], draws: tuple[()]
    ) -> tuple[BreakoutState, Int[Array, ""], Bool[Array, ""]]:
        """Move the paddle, then the ball."""
        paddle = jnp.clip(state.paddle + (action == RIGHT) - (action == LEFT), 0, LAST)
        column = state.ball_column + jnp.where(state.ball_right, 1, -1)
        row = state.ball_row + jnp.where(state.ball_down, 1, -1)
        at_wall = (column < 0) | (column > LAST)
        column = jnp.clip(column, 0, LAST)
        right = state.ball_right ^ at_wall
        at_top = row < 0

        cell = _brick_cell(row, column)
        on_brick = jnp.any(cell & state.bricks)
        strikes = on_brick & ~state.inside
        bricks = state.bricks & ~(cell & strikes)

        at_bottom = row == LAST
        bricks = bricks | (at_bottom & ~jnp.any(bricks))
        on_paddle = at_bottom & (state.ball_column == paddle)
        on_edge = at_bottom & ~on_paddle & (column == paddle)
        bounces = strikes | on_paddle | on_edge
        successor = BreakoutState(
            ball_row=jnp.where(bounces, state.ball_row, jnp.maximum(row, 0)),
            ball_column=column,
            ball_right=right ^ on_edge,
            ball_down=state.ball_down ^ (at_top | bounces),
            last_row=state.ball_row,
            last_column=state.ball_column,
            paddle=paddle,
            bricks=bricks,
            inside=on_brick,
        )
        return successor, strikes.astype(jnp.int32), at_bottom & ~on_paddle & ~on_edge

    def observe(self, state: BreakoutState) -> Bool[Array, "10 10 4"]:
        """Paddle, ball, trail, bricks."""
        below = SIZE - TOP_BRICK_ROW - BRICK_ROWS
        side = jnp.arange(SIZE)
        things = [
            jnp.where(side == LAST, state.paddle, OFF_BOARD),
            jnp.where(side == state.ball_row, state.ball_column, OFF_BOARD),
            jnp.where(side == state.last_row, state.last_column, OFF_BOARD),
            jnp.full(SIZE, OFF_BOARD),
        ]
        bricks = jnp.pad(state.bricks, [(TOP_BRICK_ROW, below), (0, 0)])
        in_channel = jnp.arange(len(things)) == BRICK_CHANNEL
        return one_a_row(jnp.stack(things, axis=-1)) | (bricks[:, :, None] & in_channel[None, None])


def breakout(*, sticky_action_prob: Scalar | int = STICKY_ACTION_PROB) -> MinAtar:
    """Make "MinAtar/Breakout-v1" without a limit on time.

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """
    return MinAtar(Breakout(), sticky_action_prob=sticky_action_prob)


def _brick_cell(row: Int[Array, ""], column: Int[Array, ""]) -> Bool[Array, "3 10"]:
    return on_cell(row, column)[TOP_BRICK_ROW : TOP_BRICK_ROW + BRICK_ROWS]
