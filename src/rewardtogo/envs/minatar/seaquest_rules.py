"""The rules of Seaquest, in the order in which a step applies them."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .base import DOWN, FIRE, LEFT, RIGHT, SIZE, UP
from .swimmers import Swimmers, append, first, newcomer, one_bit, shown_bits, swim


START_COLUMN = 5
FIRST_ROW, LAST_ROW = 1, SIZE - 2  # under the surface, above the gauges
ROWS = LAST_ROW - FIRST_ROW + 1
MAX_OXYGEN = 200  # steps under water
MAX_DIVERS = 6
SHOT_COOL_DOWN = 5  # steps
ENEMY_SHOT_INTERVAL = 10  # steps
DIVER_INTERVAL = 30  # steps from one diver to the next
DIVER_MOVE_INTERVAL = 5  # steps between moves
SPAWN_INTERVAL = 20  # steps from one enemy to the next before the ramp, 1 at its end
MOVE_INTERVAL = 5  # steps between the moves of an enemy before the ramp, 2 at its end
RAMP_END, MOVE_RAMP_END = SPAWN_INTERVAL - 1, 3

# The most there can be at once: bullets live 9 steps and are 5 apart, divers live 60 and are 30
# apart, enemies live 30 and are 1 apart at the end of the ramp, and are fewer before.
BULLETS, DIVERS, ENEMIES = 2, 2, 30


class Enemies(eqx.Module):
    """Fish, and submarines, which shoot."""

    swimmers: Swimmers
    submarine: Bool[Array, "*objects"]
    shot_timer: Int[Array, "*objects"]


class SeaquestState(eqx.Module):
    """The player, what is around it, and how far the difficulty has risen."""

    row: Int[Array, ""]
    column: Int[Array, ""]
    right: Bool[Array, ""]
    oxygen: Int[Array, ""]
    rescued: Int[Array, ""]  # divers on board
    surfaced: Bool[Array, ""]
    bullets: Swimmers
    enemies: Enemies
    divers: Swimmers
    bullets_left: Int[Array, "10"]  # of the enemies, moving left: bits of each row's columns
    bullets_right: Int[Array, "10"]
    ramp: Int[Array, ""]
    shot_timer: Int[Array, ""]
    enemy_timer: Int[Array, ""]
    diver_timer: Int[Array, ""]


class SeaquestDraws(eqx.Module):
    """The next enemy and the next diver, should this step bring one."""

    enemy_right: Bool[Array, ""]
    submarine: Bool[Array, ""]
    enemy_row: Int[Array, ""]
    diver_right: Bool[Array, ""]
    diver_row: Int[Array, ""]


def _move_interval(state: SeaquestState) -> Int[Array, ""]:
    return MOVE_INTERVAL - jnp.minimum(state.ramp // 2, MOVE_RAMP_END)


def _at_player(state: SeaquestState, swimmers: Swimmers) -> Bool[Array, " objects"]:
    here = (swimmers.row == state.row) & (swimmers.column == state.column)
    return here & swimmers.present


def arrive(state: SeaquestState, draws: SeaquestDraws) -> SeaquestState:
    """Add an enemy, unless others swim against it in its row, and a diver, when it is time."""
    enemy_comes, diver_comes = state.enemy_timer == 0, state.diver_timer == 0
    others = state.enemies.swimmers
    against = (others.row == draws.enemy_row) & (others.right != draws.enemy_right)
    free = ~jnp.any(others.present & against)
    enemy = Enemies(
        newcomer(draws.enemy_row, draws.enemy_right, _move_interval(state)),
        draws.submarine,
        jnp.full((), ENEMY_SHOT_INTERVAL, jnp.int32),
    )
    diver = newcomer(draws.diver_row, draws.diver_right, DIVER_MOVE_INTERVAL)
    enemy_timer = jnp.where(enemy_comes, SPAWN_INTERVAL - state.ramp, state.enemy_timer)
    diver_timer = jnp.where(diver_comes, DIVER_INTERVAL, state.diver_timer)
    return replace(
        state,
        enemies=append(state.enemies, enemy, enemy_comes & free),
        divers=append(state.divers, diver, diver_comes),
        enemy_timer=enemy_timer - 1,
        diver_timer=diver_timer - 1,
    )


def play(state: SeaquestState, action: Int[Array, ""]) -> SeaquestState:
    """Fire or move the player."""
    fires = (action == FIRE) & (state.shot_timer == 0)
    bullet = newcomer(state.row, state.right, 0, state.column)
    sideways = jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0)
    down = jnp.where(action == DOWN, 1, 0) - jnp.where(action == UP, 1, 0)
    shot_timer = jnp.where(fires, SHOT_COOL_DOWN, state.shot_timer)
    return replace(
        state,
        row=jnp.clip(state.row + down, 0, LAST_ROW),
        column=jnp.clip(state.column + sideways, 0, SIZE - 1),
        right=jnp.where(sideways == 0, state.right, sideways > 0),
        bullets=append(state.bullets, bullet, fires),
        shot_timer=jnp.maximum(shot_timer - 1, 0),
    )


def shoot(state: SeaquestState) -> tuple[SeaquestState, Int[Array, ""]]:
    """Move the player's bullets; the newest hits first: the oldest fish, else submarine, there."""
    bullets, enemies = swim(state.bullets, 0)[0], state.enemies
    swimmers, hit = enemies.swimmers, [jnp.zeros((), bool)] * BULLETS
    alive = swimmers.present
    for i in reversed(range(BULLETS)):
        on_row, on_column = swimmers.row == bullets.row[i], swimmers.column == bullets.column[i]
        there = alive & on_row & on_column & bullets.present[i]
        fish = there & ~enemies.submarine
        alive &= ~first(jnp.where(jnp.any(fish), fish, there))
        hit[i] = jnp.any(there)
    shot = jnp.stack(hit)
    return replace(
        state,
        bullets=replace(bullets, present=bullets.present & ~shot),
        enemies=replace(enemies, swimmers=replace(swimmers, present=alive)),
    ), jnp.sum(shot, dtype=jnp.int32)


def rescue(state: SeaquestState) -> SeaquestState:
    """Move the divers; take on board who is met before or after, the newest first, up to six."""
    divers, moved = swim(state.divers, DIVER_MOVE_INTERVAL)
    met = _at_player(state, state.divers) | (moved & _at_player(state, divers))
    rescued, present = state.rescued, divers.present
    for i in reversed(range(DIVERS)):
        taken = met[i] & (rescued < MAX_DIVERS)
        rescued += taken
        present = present & ~(taken & (jnp.arange(DIVERS) == i))
    return replace(state, divers=replace(divers, present=present), rescued=rescued)


def attack(state: SeaquestState) -> tuple[SeaquestState, Bool[Array, ""], Int[Array, ""]]:
    """Move the enemies, and let submarines shoot; return whether one meets the player, and kills.

    An enemy that moves into a bullet dies with it. No two move into one cell: enemies in a row
    have one direction, and the ramp is never quick enough for one to catch up with another.
    """
    enemies, bullets = state.enemies, state.bullets
    swimmers, moved = swim(enemies.swimmers, _move_interval(state))
    met = _at_player(state, enemies.swimmers) | (moved & _at_player(state, swimmers))

    on_row = swimmers.row[:, None] == bullets.row[None]
    on_column = swimmers.column[:, None] == bullets.column[None]
    exposed = moved & ~_at_player(state, swimmers)
    rams = exposed[:, None] & on_row & on_column & bullets.present[None]
    dead = jnp.any(rams, axis=1)
    # Of two bullets that cross in a cell, the older is spent.
    spent = jnp.any(jax.vmap(first)(rams), axis=0)

    fires = enemies.swimmers.present & enemies.submarine & (enemies.shot_timer == 0)
    shot_timer = jnp.where(fires, ENEMY_SHOT_INTERVAL, enemies.shot_timer - 1)
    muzzle = lambda right: shown_bits(swimmers, fires & (swimmers.right == right))
    survivors = replace(swimmers, present=swimmers.present & ~dead)
    return (
        replace(
            state,
            enemies=replace(enemies, swimmers=survivors, shot_timer=shot_timer),
            bullets=replace(bullets, present=bullets.present & ~spent),
            bullets_left=state.bullets_left | muzzle(False),
            bullets_right=state.bullets_right | muzzle(True),
        ),
        jnp.any(met),
        jnp.sum(dead, dtype=jnp.int32),
    )


def fly(state: SeaquestState) -> tuple[SeaquestState, Bool[Array, ""]]:
    """Move the enemies' bullets; return whether one meets the player before or after."""
    left, right = state.bullets_left >> 1, (state.bullets_right << 1) % 2**SIZE
    danger = state.bullets_left | state.bullets_right | left | right
    hit = jnp.any(danger & one_bit(state.row, state.column))
    return replace(state, bullets_left=left, bullets_right=right), hit


def breathe(
    state: SeaquestState, difficulty_ramping: bool
) -> tuple[SeaquestState, Int[Array, ""], Bool[Array, ""]]:
    """Use up oxygen or surface; return the reward of it, and whether it ends the game."""
    below = state.row > 0
    arrives = ~below & ~state.surfaced
    surfaces = arrives & (state.rescued != 0)
    drowned = (state.oxygen <= 0) | (arrives & ~surfaces)
    full = state.rescued == MAX_DIVERS
    bonus = jnp.where(surfaces & full, state.oxygen * SIZE // MAX_OXYGEN, 0)
    oxygen = jnp.where(surfaces, MAX_OXYGEN, state.oxygen - below)
    rescued = jnp.where(full, 0, state.rescued) - 1
    ramp = jnp.minimum(state.ramp + 1, RAMP_END)
    return (
        replace(
            state,
            oxygen=oxygen,
            rescued=jnp.where(surfaces, rescued, state.rescued),
            surfaced=(state.surfaced & ~below) | surfaces,
            ramp=jnp.where(surfaces & difficulty_ramping, ramp, state.ramp),
        ),
        bonus,
        drowned,
    )
