"""A data set that all seeds share: read, never written, and in no checkpoint."""

from typing import Any

import jax
import jax.random as jr
from jaxtyping import Array, Int, PRNGKeyArray

from ... import validate
from ...types import AbstractShared
from ..protocol import BufferState, EmptyBuffer


class Dataset(EmptyBuffer):
    """Batches of `batch_size` rows of `data`, drawn uniformly with replacement for each update.

    `data` holds arrays with one row an example. They are arguments of the compiled program: one
    copy on a device, whatever the number of seeds. Each seed draws by its own key.

    **Raises:** `ValueError` if the arrays do not have the same number of rows.
    """

    data: AbstractShared
    batch_size: int
    num_updates: int

    def __check_init__(self):
        validate.count("batch_size", self.batch_size)
        validate.count("num_updates", self.num_updates)
        lengths = {x.shape[0] for x in jax.tree.leaves(self.data.value)}
        if len(lengths) != 1:
            raise ValueError(f"`data` must have rows, as many in every array; got {lengths}.")

    def plan(
        self, state: BufferState, gathered: Any, *, index: Any, key: PRNGKeyArray
    ) -> Int[Array, "updates batch"]:
        del state, gathered, index
        rows = jax.tree.leaves(self.data.value)[0].shape[0]
        return jr.randint(key, (self.num_updates, self.batch_size), 0, rows)

    def draw(
        self, state: BufferState, plan: Int[Array, " batch"], *, index: Any
    ) -> tuple[Any, tuple[()]]:
        del state, index
        return jax.tree.map(lambda x: x[plan], self.data.value), ()
