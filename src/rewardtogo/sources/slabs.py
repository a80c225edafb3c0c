"""Data larger than the device: rows of arrays on the host, a slab of them at a time."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from .. import validate
from ..types import AbstractShared


class _Held:
    """Arrays on the host, or maps of files, which the compiled program never sees as a whole."""

    def __init__(self, arrays: Any):
        self.arrays = arrays


class Slabs(AbstractShared):
    """`rows` rows at a time of arrays that stay on the host, the next ones after `period` gathers.

    Slab k has the rows from k · `rows` on; after the last row comes the first again. Only the slab
    at hand is on the device.
    """

    value: Any  # the first slab
    held: _Held = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    gathers: int = eqx.field(static=True)  # that each slab is learned from

    @property
    def whole(self) -> Any:
        return self.held.arrays

    @property
    def period(self) -> int:
        return self.gathers

    def at(self, index: int) -> Any:
        return _slab(self.held.arrays, index // self.gathers, self.rows)


def slabs(arrays: Any, *, rows: int, period: int) -> Slabs:
    """Slabs of `arrays`, NumPy arrays or memory maps with one row an example.

    **Raises:** `ValueError` if they have fewer than `rows` rows, or not as many each.
    """
    validate.count("rows", rows)
    validate.count("period", period)
    lengths = {x.shape[0] for x in jax.tree.leaves(arrays)}
    if len(lengths) != 1 or min(lengths) < rows:
        raise ValueError(f"`rows` ({rows}) needs as many in every array; these have {lengths}.")
    return Slabs(_slab(arrays, 0, rows), _Held(arrays), rows, period)


def _slab(arrays: Any, turn: int, rows: int) -> Any:
    def of(array: np.ndarray) -> np.ndarray:
        start = turn * rows % array.shape[0]
        first = np.asarray(array[start : start + rows])
        return np.concatenate([first, array[: rows - first.shape[0]]])

    return jax.tree.map(of, arrays)
