"""MinAtar's Freeway: a chicken crosses eight lanes of traffic."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ...types import Scalar
from .base import (
    DOWN,
    NOOP,
    OFF_BOARD,
    SIZE,
    STICKY_ACTION_PROB,
    UP,
    AbstractMinAtarGame,
    MinAtar,
    one_a_row,
)


LANES = SIZE - 2  # lane i lies in row i + 1
COLUMN = 4  # the chicken's
WAIT = 3  # steps from one move of the chicken to the next
SLOWEST = 5
TIME_LIMIT = 2500
LAST = SIZE - 1


class FreewayState(eqx.Module):
    """A car's speed counts the steps between two moves, and is negative leftwards."""

    row: Int[Array, ""]
    wait: Int[Array, ""]
    position: Int[Array, "8"]
    speed: Int[Array, "8"]
    timer: Int[Array, "8"]
    steps_left: Int[Array, ""]


class Freeway(AbstractMinAtarGame[FreewayState, Int[Array, "8"], Int[Array, "8"]]):
    """A crossing is worth 1, and draws the cars' speeds anew; a car sends the chicken back.

    Young & Tian (2019), section 3. The game is over at step 2501, which is `terminated` here as
    it is in the original, although no observation shows the time. Draws are the eight signed
    speeds, uniform on -5 … -1, 1 … 5. Nothing becomes harder with time.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """Behind each car, the channel of its speed: "speed1" moves every second step."""
        return ("chicken", "car", "speed1", "speed2", "speed3", "speed4", "speed5")

    @property
    def actions(self) -> tuple[int, ...]:
        """Stay, up, down."""
        return (NOOP, UP, DOWN)

    def draw_start(self, key: PRNGKeyArray) -> Int[Array, "8"]:
        """The cars' signed speeds."""
        return _draw_speeds(key)

    def start(self, draws: Int[Array, "8"]) -> FreewayState:
        """All cars at the left edge, the chicken at the bottom."""
        speed = draws.astype(jnp.int32)
        return FreewayState(
            row=jnp.full((), LAST, jnp.int32),
            wait=jnp.full((), WAIT, jnp.int32),
            position=jnp.zeros(LANES, jnp.int32),
            speed=speed,
            timer=jnp.abs(speed),
            steps_left=jnp.full((), TIME_LIMIT, jnp.int32),
        )

    def draw(self, state: FreewayState, key: PRNGKeyArray) -> Int[Array, "8"]:
        """The signed speeds after a crossing."""
        return _draw_speeds(key)

    def advance(
        self, state: FreewayState, action: Int[Array, ""], draws: Int[Array, "8"]
    ) -> tuple[FreewayState, Int[Array, ""], Bool[Array, ""]]:
        """Move the chicken, then the cars."""
        moves = (state.wait == 0) & ((action == UP) | (action == DOWN))
        ahead = jnp.clip(state.row + jnp.where(action == DOWN, 1, -1), 0, LAST)
        row = jnp.where(moves, ahead, state.row)
        wait = jnp.where(moves, WAIT, state.wait)

        crosses = row == 0
        row = jnp.where(crosses, LAST, row)
        speed = jnp.where(crosses, draws.astype(jnp.int32), state.speed)
        timer = jnp.where(crosses, jnp.abs(speed), state.timer)

        drives = timer == 0
        position = (state.position + drives * jnp.sign(speed)) % SIZE
        in_lane = jnp.arange(1, LANES + 1) == row
        hit = jnp.any(in_lane & ((state.position == COLUMN) | (position == COLUMN)))
        steps_left = state.steps_left - 1
        successor = FreewayState(
            row=jnp.where(hit, LAST, row),
            wait=jnp.maximum(wait - 1, 0),
            position=position,
            speed=speed,
            timer=jnp.where(drives, jnp.abs(speed), timer - 1),
            steps_left=steps_left,
        )
        return successor, crosses.astype(jnp.int32), steps_left < 0

    def observe(self, state: FreewayState) -> Bool[Array, "10 10 7"]:
        """Chicken, cars, and one channel for each speed."""
        chicken = jnp.where(jnp.arange(SIZE) == state.row, COLUMN, OFF_BOARD)
        cars = jnp.pad(state.position, 1, constant_values=OFF_BOARD)
        behind = jnp.pad((state.position - jnp.sign(state.speed)) % SIZE, 1)
        paces = jnp.pad(jnp.abs(state.speed), 1)  # 0 in the two rows without a lane
        trails = [jnp.where(paces == pace, behind, OFF_BOARD) for pace in range(1, SLOWEST + 1)]
        return one_a_row(jnp.stack([chicken, cars, *trails], axis=-1))


def freeway(*, sticky_action_prob: Scalar | int = STICKY_ACTION_PROB) -> MinAtar:
    """Make "MinAtar/Freeway-v1".

    **Raises:** `ValueError` if `sticky_action_prob` is a number outside [0, 1].
    """
    return MinAtar(Freeway(), sticky_action_prob=sticky_action_prob)


def _draw_speeds(key: PRNGKeyArray) -> Int[Array, "8"]:
    rank = jnp.floor(2 * SLOWEST * jr.uniform(key, (LANES,), jnp.float32)).astype(jnp.int32)
    return jnp.where(rank < SLOWEST, rank - SLOWEST, rank - SLOWEST + 1)
