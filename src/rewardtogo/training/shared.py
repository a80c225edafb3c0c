"""The arrays that a loop shares among all seeds, taken out of it and put back."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..types import AbstractShared, Shared
from .loop import Loop, Totals


def _is_shared(node: Any) -> bool:
    return isinstance(node, AbstractShared)


def shared_by(loop: Loop) -> tuple[AbstractShared, ...]:
    """What the loop's learner and source hold as shared, in the order of its fields."""
    return tuple(x for x in jax.tree.leaves(loop, is_leaf=_is_shared) if _is_shared(x))


def with_shared(loop: Loop, values: Sequence[PyTree]) -> Loop:
    """The loop with these arrays in place of its own."""
    nodes, tree = jax.tree.flatten(loop, is_leaf=_is_shared)
    left = iter(values)
    return jax.tree.unflatten(tree, [Shared(next(left)) if _is_shared(x) else x for x in nodes])


def on_device(value: PyTree) -> PyTree:
    """The same arrays, moved once: what lies on the host would be moved at every call."""
    return jax.tree.map(jnp.asarray, value)


class SharedArrays:
    """The shared arrays of a loop as they are at each gather, on the device."""

    def __init__(self, loop: Loop):
        self._shared = shared_by(loop)
        self._periods = [shared.period for shared in self._shared]
        self._kept: list[tuple[int, PyTree]] = [(-1, None)] * len(self._shared)

    def at(self, index: int) -> tuple[PyTree, ...]:
        """The arrays while gather `index` is learned from."""
        for i, (shared, period) in enumerate(zip(self._shared, self._periods, strict=True)):
            turn = 0 if period is None else index // period
            if self._kept[i][0] != turn:
                self._kept[i] = (turn, None)  # the old ones may go before the new ones come
                self._kept[i] = (turn, on_device(shared.at(index)))
        return tuple(value for _, value in self._kept)

    def stretches(self, first: int, last: int) -> list[tuple[int, int]]:
        """`first` to `last` − 1, cut where other arrays take their place."""
        borders = {first, last}
        for period in self._periods:
            if period is not None:
                borders |= set(range((first // period + 1) * period, last, period))
        ends = sorted(borders)
        return list(itertools.pairwise(ends))


def added(totals: Sequence[Totals]) -> Totals:
    """The sums of consecutive stretches in one."""
    if len(totals) == 1:
        return totals[0]
    bad = np.stack([np.asarray(t.bad_iteration) for t in totals])
    first = np.argmax(bad >= 0, axis=0)
    return Totals(
        jax.tree.map(lambda *sums: sum(sums[1:], sums[0]), *[t.metrics for t in totals]),
        sum((t.iterations for t in totals[1:]), totals[0].iterations),
        np.take_along_axis(bad, first[None], axis=0)[0],
    )
