"""Batches that come in part from one buffer and in part from another."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import PRNGKeyArray

from ..protocol import AbstractBuffer, BufferState, UnchangedBuffer


class Mixture(UnchangedBuffer):
    """Each batch is one of `first` followed by one of `second`, along the first axis.

    As for a data set beside what is collected meanwhile: the share of each is the ratio of the two
    batch sizes. What is gathered is added to both.
    **Raises:** `ValueError` if one of them needs errors: they would belong to half of the batch.
    """

    first: AbstractBuffer
    second: AbstractBuffer

    def __check_init__(self):
        if self.first.needs_errors or self.second.needs_errors:
            raise ValueError("a mixture of buffers takes none that is drawn from by errors.")

    def init(self, gathered: Any) -> BufferState:
        return BufferState((self.first.init(gathered), self.second.init(gathered)))

    def add(self, state: BufferState, gathered: Any, *, index: Any) -> BufferState:
        first, second = state.held
        first = self.first.add(first, gathered, index=index)
        return BufferState((first, self.second.add(second, gathered, index=index)))

    def interrupted(self, state: BufferState, progress: Any) -> BufferState:
        first, second = state.held
        first = self.first.interrupted(first, progress)
        return BufferState((first, self.second.interrupted(second, progress)))

    def plan(
        self, state: BufferState, gathered: Any, *, index: Any, key: PRNGKeyArray
    ) -> tuple[Any, Any]:
        keys = jr.split(key)
        first, second = state.held
        return (
            self.first.plan(first, gathered, index=index, key=keys[0]),
            self.second.plan(second, gathered, index=index, key=keys[1]),
        )

    def draw(self, state: BufferState, plan: tuple[Any, Any], *, index: Any) -> tuple[Any, Any]:
        first, one = self.first.draw(state.held[0], plan[0], index=index)
        second, other = self.second.draw(state.held[1], plan[1], index=index)
        return jax.tree.map(lambda *xs: jnp.concatenate(xs), first, second), (one, other)
