"""One clear error for tables that are no Markov decision process."""

from collections.abc import Sequence
from typing import Any

import numpy as np


# Rows written in float32 sum to 1 within a few of its roundings; a missing 1e-3 is a mistake.
_ROUNDING = 1e-5


def place(index: Sequence[Any] | np.ndarray) -> str:
    """Words for an index of `[state, action, successor]`, as far as it goes."""
    names = ("state", "action", "successor")
    return ", ".join(f"{name} {int(i)}" for name, i in zip(names, index, strict=False))


def normalised(table: np.ndarray, name: str) -> np.ndarray:
    """The distributions along the last axis, their float32 rounding put right, in place.

    **Raises:** `ValueError` for a negative or NaN probability, or a row that does not sum to 1.
    """
    total = table.sum(axis=-1)
    low = table.min(axis=-1)
    if np.any(~(low >= 0) | ~np.isfinite(total)):
        where = tuple(np.argwhere(~(table >= 0) | ~np.isfinite(table))[0])
        raise ValueError(
            f"`{name}` at {place(where)} is {table[where]}; a probability lies in [0, 1]."
        )
    wrong = np.argwhere(np.abs(total - 1) > _ROUNDING)
    if len(wrong):
        where = tuple(wrong[0])
        row = f" at {place(where)}" if where else ""
        raise ValueError(f"`{name}`{row} sums to {total[where]:.6g}; it must sum to 1.")
    table /= total[..., None]
    return table


def require_finite(reward: np.ndarray, name: str = "reward") -> None:
    """**Raises:** `ValueError` naming the first entry that is NaN or infinite."""
    if np.isfinite(reward).all():
        return
    where = tuple(np.argwhere(~np.isfinite(reward))[0])
    raise ValueError(f"`{name}` at {place(where)} is {reward[where]}; it must be finite.")


def terminal_flags(terminal: object, num_states: int) -> np.ndarray:
    """**Raises:** `ValueError` unless it is one boolean a state."""
    ends = np.asarray(terminal)
    if ends.shape != (num_states,) or ends.dtype != bool:
        raise ValueError(
            f"`terminal` must hold {num_states} booleans, one a state; "
            f"got shape {ends.shape} of {ends.dtype}."
        )
    return ends


def as_floats(name: str, value: object) -> np.ndarray:
    """A float64 copy whose memory XLA can use as it is.

    **Raises:** `ValueError` for what is not an array of numbers.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"its type is {array.dtype}")
    except ValueError as error:
        raise ValueError(f"`{name}` must be an array of numbers: {error}.") from None
    return aligned(array, np.float64)


def aligned(array: np.ndarray, dtype: type) -> np.ndarray:
    """A C-ordered copy at a multiple of 64 bytes: XLA reads such memory without copying it."""
    size = array.size * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + size].view(dtype).reshape(array.shape)
    copy[...] = array
    return copy
