"""MinAtar's Asterix: gather gold and keep away from enemies; both cross in eight rows."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ...types import Scalar
from .base import (
    DOWN,
    LEFT,
    NOOP,
    OFF_BOARD,
    RIGHT,
    SIZE,
    STICKY_ACTION_PROB,
    UP,
    AbstractMinAtarGame,
    MinAtar,
    one_a_row,
)


SLOTS = SIZE - 2  # slot i lies in row i + 1
START = 5
SPAWN_INTERVAL = 10
MOVE_INTERVAL = 5
RAMP_INTERVAL = 100
LAST = SIZE - 1


class AsterixDraws(NamedTuple):
    """What would enter if something does: in the free slot number `rank`, from the left or not."""

    from_left: Bool[Array, ""]
    gold: Bool[Array, ""]
    rank: Int[Array, ""]  # in [0, number of free slots)


class AsterixState(eqx.Module):
    """The player, one thing a slot where `present`, and what sets the pace, in steps."""

    row: Int[Array, ""]
    column: Int[Array, ""]
    present: Bool[Array, "8"]
    position: Int[Array, "8"]
    rightward: Bool[Array, "8"]
    gold: Bool[Array, "8"]
    spawn_interval: Int[Array, ""]
    spawn_timer: Int[Array, ""]
    move_interval: Int[Array, ""]
    move_timer: Int[Array, ""]
    ramp_timer: Int[Array, ""]
    ramp_level: Int[Array, ""]


class Asterix(AbstractMinAtarGame[AsterixState, tuple[()], AsterixDraws]):
    """Gold is worth 1, and touching an enemy ends the game.

    Young & Tian (2019), section 3. A thing enters every `spawn_interval` steps and is gold with
    probability 1/3; all move every `move_interval` steps. With `difficulty_ramping` both
    intervals shrink, to 1 in the end, every 102 steps (the second one every other time).
    """

    difficulty_ramping: bool = eqx.field(static=True, default=True, kw_only=True)

    @property
    def channels(self) -> tuple[str, ...]:
        """The trail is behind each enemy and each piece of gold."""
        return ("player", "enemy", "trail", "gold")

    @property
    def actions(self) -> tuple[int, ...]:
        """Stay, left, up, right, down."""
        return (NOOP, LEFT, UP, RIGHT, DOWN)

    def draw_start(self, key: PRNGKeyArray) -> tuple[()]:
        """Nothing is drawn."""
        return ()

    def start(self, draws: tuple[()]) -> AsterixState:
        """The player in the middle of an empty board."""
        return AsterixState(
            row=_count(START),
            column=_count(START),
            present=jnp.zeros(SLOTS, bool),
            position=jnp.zeros(SLOTS, jnp.int32),
            rightward=jnp.zeros(SLOTS, bool),
            gold=jnp.zeros(SLOTS, bool),
            spawn_interval=_count(SPAWN_INTERVAL),
            spawn_timer=_count(SPAWN_INTERVAL),
            move_interval=_count(MOVE_INTERVAL),
            move_timer=_count(MOVE_INTERVAL),
            ramp_timer=_count(RAMP_INTERVAL),
            ramp_level=_count(0),
        )

    def draw(self, state: AsterixState, key: PRNGKeyArray) -> AsterixDraws:
        """Side, kind and slot, independent; the slot uniform among the free ones."""
        side, kind, slot = jr.uniform(key, (3,), jnp.float32)
        free = jnp.sum(~state.present, dtype=jnp.int32)
        # 1 - 2⁻²⁴ times 8 is below 8 in float32, so the rank stays below the number of free slots.
        return AsterixDraws(side < 1 / 2, kind < 1 / 3, jnp.floor(slot * free).astype(jnp.int32))

    def advance(
        self, state: AsterixState, action: Int[Array, ""], draws: AsterixDraws
    ) -> tuple[AsterixState, Int[Array, ""], Bool[Array, ""]]:
        """Let a thing enter, move the player, collect, move the things, collect again."""
        spawns = state.spawn_timer == 0
        entering = spawns & _free_slot(state.present, draws.rank)
        present = state.present | entering
        position = jnp.where(entering, jnp.where(draws.from_left, 0, LAST), state.position)
        rightward = jnp.where(entering, draws.from_left, state.rightward)
        gold = jnp.where(entering, draws.gold, state.gold)

        column = jnp.clip(state.column + (action == RIGHT) - (action == LEFT), 0, LAST)
        row = jnp.clip(state.row + (action == DOWN) - (action == UP), 1, SLOTS)
        in_row = jnp.arange(1, SLOTS + 1) == row
        before = present & in_row & (position == column)
        present = present & ~(before & gold)

        moves = state.move_timer == 0
        position = position + moves * jnp.where(rightward, 1, -1)
        present = present & (position >= 0) & (position <= LAST)
        # Without a move this finds only an enemy found before.
        after = present & in_row & (position == column)
        present = present & ~(after & gold)

        reward = jnp.sum(before & gold, dtype=jnp.int32) + jnp.sum(after & gold, dtype=jnp.int32)
        terminated = jnp.any((before | after) & ~gold)
        paced = eqx.tree_at(
            lambda s: (s.spawn_timer, s.move_timer),
            state,
            (
                jnp.where(spawns, state.spawn_interval, state.spawn_timer) - 1,
                jnp.where(moves, state.move_interval, state.move_timer) - 1,
            ),
        )
        placed = eqx.tree_at(
            lambda s: (s.row, s.column, s.present, s.position, s.rightward, s.gold),
            self._ramp(paced),
            (row, column, present, position, rightward, gold),
        )
        return placed, reward, terminated

    def _ramp(self, state: AsterixState) -> AsterixState:
        if not self.difficulty_ramping:
            return state
        ramps = (state.spawn_interval > 1) | (state.move_interval > 1)
        due = ramps & (state.ramp_timer < 0)
        faster = due & (state.move_interval > 1) & (state.ramp_level % 2 == 1)
        waiting = state.ramp_timer - ramps
        return eqx.tree_at(
            lambda s: (s.spawn_interval, s.move_interval, s.ramp_timer, s.ramp_level),
            state,
            (
                state.spawn_interval - (due & (state.spawn_interval > 1)),
                state.move_interval - faster,
                jnp.where(due, RAMP_INTERVAL, waiting),
                state.ramp_level + due,
            ),
        )

    def observe(self, state: AsterixState) -> Bool[Array, "10 10 4"]:
        """Player, enemies, trails, gold."""
        player = jnp.where(jnp.arange(SIZE) == state.row, state.column, OFF_BOARD)
        behind = state.position - jnp.where(state.rightward, 1, -1)
        columns = [
            jnp.where(state.present & ~state.gold, state.position, OFF_BOARD),
            jnp.where(state.present, behind, OFF_BOARD),
            jnp.where(state.present & state.gold, state.position, OFF_BOARD),
        ]
        things = [jnp.pad(column, 1, constant_values=OFF_BOARD) for column in columns]
        return one_a_row(jnp.stack([player, *things], axis=-1))


def asterix(
    *, difficulty_ramping: bool = True, sticky_action_prob: Scalar | int = STICKY_ACTION_PROB
) -> MinAtar:
    """Make "MinAtar/Asterix-v1" without a limit on time.

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """
    game = Asterix(difficulty_ramping=difficulty_ramping)
    return MinAtar(game, sticky_action_prob=sticky_action_prob)


def _count(value: int) -> Int[Array, ""]:
    return jnp.full((), value, jnp.int32)


def _free_slot(present: Bool[Array, "8"], rank: Int[Array, ""]) -> Bool[Array, "8"]:
    free = ~present
    return free & (jnp.cumsum(free, dtype=jnp.int32) - 1 == rank)
