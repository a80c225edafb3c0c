"""MinAtar's Space Invaders: shoot the aliens before they, or their bullets, come down."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ...types import Scalar
from .base import (
    FIRE,
    LEFT,
    NOOP,
    RIGHT,
    SIZE,
    STICKY_ACTION_PROB,
    AbstractMinAtarGame,
    MinAtar,
    on_cell,
)


START_COLUMN = 5
SHOT_COOL_DOWN = 5  # steps from one shot of the cannon to the next
ALIEN_SHOT_INTERVAL = 10  # steps
MOVE_INTERVAL = 12  # steps between the moves of a full first wave
MIN_MOVE_INTERVAL = 6  # that of the waves at the end of the ramp
ALIEN_ROWS, ALIEN_COLUMNS = slice(0, 4), slice(2, 8)  # where a wave appears


class SpaceInvadersState(eqx.Module):
    """Boards are indexed by row from the top and column; timers count steps down to 0."""

    column: Int[Array, ""]  # of the cannon, which stays in the last row
    bullets: Bool[Array, "10 10"]
    alien_bullets: Bool[Array, "10 10"]
    aliens: Bool[Array, "10 10"]
    direction: Int[Array, ""]  # of the aliens: -1 left, 1 right
    move_interval: Int[Array, ""]
    move_timer: Int[Array, ""]
    alien_shot_timer: Int[Array, ""]
    shot_timer: Int[Array, ""]


class SpaceInvaders(AbstractMinAtarGame[SpaceInvadersState, tuple[()], tuple[()]]):
    """The rules of Space Invaders, which leave nothing to chance.

    Young & Tian (2019), version 1.0.15 of their package. An alien shot is worth 1. The aliens
    march to an edge, step down and turn; a wave of n moves every min(n, interval) steps, and the
    alien nearest to the cannon's column shoots every 10. A cleared wave is followed by another
    at once; with `difficulty_ramping` the interval shrinks by 1 with each, from 12 down to 6. The
    game ends when an alien or its bullet is where the cannon is, or aliens turn in the last row.
    """

    difficulty_ramping: bool = eqx.field(static=True, default=True, kw_only=True)

    @property
    def channels(self) -> tuple[str, ...]:
        """The aliens appear twice: once for their direction."""
        return ("cannon", "alien", "alien_left", "alien_right", "friendly_bullet", "enemy_bullet")

    @property
    def actions(self) -> tuple[int, ...]:
        """The cannon moves sideways only."""
        return (NOOP, LEFT, RIGHT, FIRE)

    def draw_start(self, key: PRNGKeyArray) -> tuple[()]:
        """Draw nothing."""
        del key
        return ()

    def start(self, draws: tuple[()]) -> SpaceInvadersState:
        """Place a wave of 4 × 6 aliens, about to march left."""
        del draws
        number = lambda value: jnp.full((), value, jnp.int32)
        empty = jnp.zeros((SIZE, SIZE), bool)
        return SpaceInvadersState(
            column=number(START_COLUMN),
            bullets=empty,
            alien_bullets=empty,
            aliens=_wave(),
            direction=number(-1),
            move_interval=number(MOVE_INTERVAL),
            move_timer=number(MOVE_INTERVAL),
            alien_shot_timer=number(ALIEN_SHOT_INTERVAL),
            shot_timer=number(0),
        )

    def draw(self, state: SpaceInvadersState, key: PRNGKeyArray) -> tuple[()]:
        """Draw nothing."""
        del state, key
        return ()

    def advance(
        self, state: SpaceInvadersState, action: Int[Array, ""], draws: tuple[()]
    ) -> tuple[SpaceInvadersState, Int[Array, ""], Bool[Array, ""]]:
        """Move the cannon, the bullets and the aliens, in this order, then see who is shot."""
        del draws
        fires = (action == FIRE) & (state.shot_timer == 0)
        shift = jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0)
        column = jnp.clip(state.column + shift, 0, SIZE - 1)
        bullets = _up(state.bullets | (fires & on_cell(SIZE - 1, state.column)))
        alien_bullets = _down(state.alien_bullets)

        aliens, direction, landed = _march(state)
        cannon = on_cell(SIZE - 1, column)
        hit = jnp.any(cannon & (alien_bullets | state.aliens | aliens))

        alien_fires = state.alien_shot_timer == 0
        alien_bullets |= alien_fires & _nearest(aliens, column)
        killed = aliens & bullets
        aliens &= ~killed

        moves = state.move_timer == 0
        move_timer = jnp.where(moves, _period(state), state.move_timer)
        alien_shot_timer = jnp.where(alien_fires, ALIEN_SHOT_INTERVAL, state.alien_shot_timer)
        shot_timer = jnp.where(fires, SHOT_COOL_DOWN, state.shot_timer)
        cleared = ~jnp.any(aliens)
        quickens = cleared & self.difficulty_ramping & (state.move_interval > MIN_MOVE_INTERVAL)
        successor = SpaceInvadersState(
            column=column,
            bullets=bullets & ~killed,
            alien_bullets=alien_bullets,
            aliens=aliens | (cleared & _wave()),
            direction=direction,
            move_interval=state.move_interval - quickens,
            move_timer=move_timer - 1,
            alien_shot_timer=alien_shot_timer - 1,
            shot_timer=jnp.maximum(shot_timer - 1, 0),
        )
        return successor, jnp.sum(killed, dtype=jnp.int32), hit | landed

    def observe(self, state: SpaceInvadersState) -> Bool[Array, "10 10 channels"]:
        """Show cannon, aliens and bullets."""
        goes_left = state.direction < 0
        board = (
            on_cell(SIZE - 1, state.column),
            state.aliens,
            state.aliens & goes_left,
            state.aliens & ~goes_left,
            state.bullets,
            state.alien_bullets,
        )
        # One word a cell, then its bits: faster than stacking the channels.
        word = jnp.zeros((SIZE, SIZE), jnp.int32)
        for i, channel in enumerate(board):
            word |= channel.astype(jnp.int32) << i
        return (word[:, :, None] >> jnp.arange(len(board))[None, None]) & 1 == 1


def space_invaders(
    *, difficulty_ramping: bool = True, sticky_action_prob: Scalar | int = STICKY_ACTION_PROB
) -> MinAtar:
    """Make "MinAtar/SpaceInvaders-v1" without a limit on time.

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """
    game = SpaceInvaders(difficulty_ramping=difficulty_ramping)
    return MinAtar(game, sticky_action_prob=sticky_action_prob)


def _wave() -> Bool[Array, "10 10"]:
    return jnp.zeros((SIZE, SIZE), bool).at[ALIEN_ROWS, ALIEN_COLUMNS].set(True)


def _up(board: Bool[Array, "10 10"]) -> Bool[Array, "10 10"]:
    return jnp.concatenate([board[1:], jnp.zeros_like(board[:1])])


def _down(board: Bool[Array, "10 10"]) -> Bool[Array, "10 10"]:
    return jnp.concatenate([jnp.zeros_like(board[:1]), board[:-1]])


def _period(state: SpaceInvadersState) -> Int[Array, ""]:
    return jnp.minimum(jnp.sum(state.aliens, dtype=jnp.int32), state.move_interval)


def _march(
    state: SpaceInvadersState,
) -> tuple[Bool[Array, "10 10"], Int[Array, ""], Bool[Array, ""]]:
    """Return the aliens after their move, if it is time, their direction, and whether they land."""
    aliens, goes_left = state.aliens, state.direction < 0
    moves = state.move_timer == 0
    turns = moves & jnp.any(jnp.where(goes_left, aliens[:, 0], aliens[:, -1]))
    sideways = jnp.where(goes_left, jnp.roll(aliens, -1, axis=1), jnp.roll(aliens, 1, axis=1))
    # As in the original, aliens that land come back at the top: the last observation shows it.
    moved = jnp.where(turns, jnp.roll(aliens, 1, axis=0), sideways)
    direction = jnp.where(turns, -state.direction, state.direction)
    return jnp.where(moves, moved, aliens), direction, turns & jnp.any(aliens[-1])


def _nearest(aliens: Bool[Array, "10 10"], column: Int[Array, ""]) -> Bool[Array, "10 10"]:
    """Mark the lowest alien of the nearest column that has any, the left one of two as near."""
    side = jnp.arange(SIZE)
    distance = jnp.where(jnp.any(aliens, axis=0), jnp.abs(side - column), SIZE)
    nearest = jnp.argmin(distance)
    occupied = jnp.any(aliens & (side == nearest)[None], axis=1)
    return on_cell(jnp.max(jnp.where(occupied, side, -1)), nearest)
