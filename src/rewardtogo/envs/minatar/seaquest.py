"""MinAtar's Seaquest: rescue divers and shoot what swims, before the air runs out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ...types import Scalar
from .base import (
    DOWN,
    FIRE,
    LEFT,
    NOOP,
    RIGHT,
    SIZE,
    STICKY_ACTION_PROB,
    UP,
    AbstractMinAtarGame,
    MinAtar,
)
from .seaquest_rules import (
    BULLETS,
    DIVER_INTERVAL,
    DIVERS,
    ENEMIES,
    FIRST_ROW,
    MAX_DIVERS,
    MAX_OXYGEN,
    ROWS,
    SPAWN_INTERVAL,
    START_COLUMN,
    Enemies,
    SeaquestDraws,
    SeaquestState,
    arrive,
    attack,
    breathe,
    fly,
    play,
    rescue,
    shoot,
)
from .swimmers import board, nobody, one_bit, row_bits, shown_bits, sign


class Seaquest(AbstractMinAtarGame[SeaquestState, tuple[()], SeaquestDraws]):
    """The rules of Seaquest.

    Young & Tian (2019), version 1.0.15 of their package. An enemy shot is worth 1. Surfacing
    with fewer than six divers on board costs one and refills the oxygen; with six, it is worth a
    twentieth of the oxygen left, rounded down, and as in the original leaves -1 divers on board.
    With `difficulty_ramping` enemies come and move faster after every surfacing. The game ends
    when an enemy or its bullet is where the submarine is, at a surfacing with no diver on board,
    and after 200 steps under water.
    """

    difficulty_ramping: bool = eqx.field(static=True, default=True, kw_only=True)

    @property
    def channels(self) -> tuple[str, ...]:
        """A trail is where a swimmer comes from, which shows its direction."""
        return (
            "sub_front",
            "sub_back",
            "friendly_bullet",
            "trail",
            "enemy_bullet",
            "enemy_fish",
            "enemy_sub",
            "oxygen_gauge",
            "diver_gauge",
            "diver",
        )

    @property
    def actions(self) -> tuple[int, ...]:
        """All have an effect."""
        return (NOOP, LEFT, UP, RIGHT, DOWN, FIRE)

    def draw_start(self, key: PRNGKeyArray) -> tuple[()]:
        """Draw nothing."""
        del key
        return ()

    def start(self, draws: tuple[()]) -> SeaquestState:
        """Place the submarine at the surface of an empty sea, facing left."""
        del draws
        number = lambda value: jnp.full((), value, jnp.int32)
        flag = lambda value: jnp.full((), value, bool)
        no_bullets = jnp.zeros(SIZE, jnp.int32)
        return SeaquestState(
            row=number(0),
            column=number(START_COLUMN),
            right=flag(False),
            oxygen=number(MAX_OXYGEN),
            rescued=number(0),
            surfaced=flag(True),
            bullets=nobody(BULLETS),
            enemies=Enemies(
                nobody(ENEMIES), jnp.zeros(ENEMIES, bool), jnp.zeros(ENEMIES, jnp.int32)
            ),
            divers=nobody(DIVERS),
            bullets_left=no_bullets,
            bullets_right=no_bullets,
            ramp=number(0),
            shot_timer=number(0),
            enemy_timer=number(SPAWN_INTERVAL),
            diver_timer=number(DIVER_INTERVAL),
        )

    def draw(self, state: SeaquestState, key: PRNGKeyArray) -> SeaquestDraws:
        """Draw directions and rows uniformly; one enemy in three is a submarine."""
        del state
        word, third = jr.bits(key, (2,), jnp.uint32)
        bit = lambda position: (word >> position) & 1 == 1
        row = lambda position: FIRST_ROW + ((word >> position) % ROWS).astype(jnp.int32)
        # Directions and rows are independent bits of one number: there are eight rows.
        return SeaquestDraws(bit(0), third < 2**32 // 3, row(1), bit(4), row(5))

    def advance(
        self, state: SeaquestState, action: Int[Array, ""], draws: SeaquestDraws
    ) -> tuple[SeaquestState, Int[Array, ""], Bool[Array, ""]]:
        """Bring what is new, then move the player, its bullets, the divers and the enemies."""
        state = play(arrive(state, draws), action)
        state, shot = shoot(state)
        state = rescue(state)
        state, met, rammed = attack(state)
        state, hit = fly(state)
        state, bonus, drowned = breathe(state, self.difficulty_ramping)
        return state, shot + rammed + bonus, met | hit | drowned

    def observe(self, state: SeaquestState) -> Bool[Array, "10 10 channels"]:
        """Show the player, the two gauges in the last row, and all that swims with its trail."""
        enemies, divers = state.enemies.swimmers, state.divers
        everyone = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), enemies, divers)
        behind = everyone.column - sign(everyone.right)
        submarine = state.enemies.submarine
        rescued = jnp.clip(state.rescued, 0, MAX_DIVERS)
        channels = (
            one_bit(state.row, state.column),
            one_bit(state.row, state.column - sign(state.right)),
            shown_bits(state.bullets, state.bullets.present),
            row_bits(everyone.row, behind, everyone.present),
            state.bullets_left | state.bullets_right,
            shown_bits(enemies, enemies.present & ~submarine),
            shown_bits(enemies, enemies.present & submarine),
            _gauge(0, jnp.maximum(state.oxygen, 0) * SIZE // MAX_OXYGEN),
            _gauge(SIZE - 1 - rescued, rescued),
            shown_bits(divers, divers.present),
        )
        return board(jnp.stack(channels, axis=-1))


def seaquest(
    *, difficulty_ramping: bool = True, sticky_action_prob: Scalar | int = STICKY_ACTION_PROB
) -> MinAtar:
    """Make "MinAtar/Seaquest-v1" without a limit on time.

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """
    game = Seaquest(difficulty_ramping=difficulty_ramping)
    return MinAtar(game, sticky_action_prob=sticky_action_prob)


def _gauge(start: int | Int[Array, ""], length: Int[Array, ""]) -> Int[Array, "10"]:
    """Fill `length` columns of the last row from `start`."""
    return jnp.where(jnp.arange(SIZE) == SIZE - 1, ((1 << length) - 1) << start, 0)
