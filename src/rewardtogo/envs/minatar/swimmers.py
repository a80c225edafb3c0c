"""What moves sideways in Seaquest: bullets, divers, fish, submarines."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .base import SIZE


class Swimmers(eqx.Module):
    """What moves sideways, the oldest first; timers count the steps to a move down to 0."""

    row: Int[Array, "*objects"]
    column: Int[Array, "*objects"]
    right: Bool[Array, "*objects"]
    timer: Int[Array, "*objects"]
    present: Bool[Array, "*objects"]


def nobody(number: int) -> Swimmers:
    """Return room for `number` swimmers."""
    zeros = jnp.zeros(number, jnp.int32)
    no = jnp.zeros(number, bool)
    return Swimmers(zeros, zeros, no, zeros, no)


def newcomer(
    row: Int[Array, ""],
    right: Bool[Array, ""],
    timer: int | Int[Array, ""],
    column: Int[Array, ""] | None = None,
) -> Swimmers:
    """Return one swimmer, without an axis, at `column` or at the edge that it comes from."""
    if column is None:
        column = jnp.where(right, 0, SIZE - 1)
    return Swimmers(row, column, right, jnp.asarray(timer, jnp.int32), jnp.ones((), bool))


def append[Objects](objects: Objects, new: Objects, when: Bool[Array, ""]) -> Objects:
    """Drop the oldest, which must be gone by then, and put `new`, without an axis, at the end."""

    def leaf(old, last):
        return jnp.where(when, jnp.concatenate([old[1:], last[None]]), old)

    return jax.tree.map(leaf, objects, new)


def sign(right: Bool[Array, "*objects"]) -> Int[Array, "*objects"]:
    """Return the change of column of a step."""
    return jnp.where(right, 1, -1)


def first(mask: Bool[Array, " objects"]) -> Bool[Array, " objects"]:
    """Keep only the first, if any."""
    index = jnp.arange(mask.size)
    return mask & (index == jnp.min(index, where=mask, initial=mask.size))


def swim(
    swimmers: Swimmers, interval: int | Int[Array, ""]
) -> tuple[Swimmers, Bool[Array, " objects"]]:
    """Move those whose time it is; return also which of them moved and stayed on the board."""
    moves = swimmers.timer == 0
    column = swimmers.column + jnp.where(moves, sign(swimmers.right), 0)
    timer = jnp.where(moves, interval, swimmers.timer - 1)
    present = swimmers.present & (column >= 0) & (column < SIZE)
    moved = replace(swimmers, column=column, timer=timer, present=present)
    return moved, moves & present


def row_bits(
    row: Int[Array, " objects"], column: Int[Array, " objects"], present: Bool[Array, " objects"]
) -> Int[Array, "10"]:
    """Return for each row of the board the sum of 2^column over the cells with something there."""
    on_board = present & (column >= 0) & (column < SIZE)
    bit = jnp.where(on_board, 1 << jnp.clip(column, 0, SIZE - 1), 0)
    in_row = row[:, None] == jnp.arange(SIZE, dtype=jnp.int32)[None]
    return jnp.bitwise_or.reduce(jnp.where(in_row, bit[:, None], 0), axis=0)


def board(bits: Int[Array, "10 channels"]) -> Bool[Array, "10 10 channels"]:
    """Write out what each row's bits say of its columns."""
    column = jnp.arange(SIZE, dtype=jnp.int32)[None, :, None]
    return (bits[:, None] >> column) & 1 == 1


def shown_bits(swimmers: Swimmers, shown: Bool[Array, " objects"]) -> Int[Array, "10"]:
    """Return `row_bits` of those of the swimmers that are shown."""
    return row_bits(swimmers.row, swimmers.column, shown)


def one_bit(row: Int[Array, ""], column: Int[Array, ""]) -> Int[Array, "10"]:
    """Return `row_bits` of one cell, which must be on the board."""
    return jnp.where(jnp.arange(SIZE) == row, 1 << column, 0)
