"""`Loop` over all seeds and devices, environments included, as one compiled program."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

from ..devices import spread
from ..sources.protocol import Source
from .loop import Loop, Totals, TrainState
from .shared import SharedArrays, added, with_shared


class Program(NamedTuple):
    """Training over all seeds; states hold arrays only, with the seeds as first axis.

    `chunk(state, first, last, total_steps)` runs gathers `first` to `last` − 1 and consumes the
    collector's and the buffer's part of `state`.
    """

    init: Callable[[], TrainState]
    chunk: Callable[[TrainState, int, int, int], tuple[TrainState, Totals]]
    template: Callable[[], TrainState]  # shapes and dtypes, for a checkpoint to be read into
    resume: Callable[[TrainState], TrainState]  # make a state read from a checkpoint go on
    source: Source


def compiled_program(loop: Loop, keys: Key[Array, " seed"]) -> Program:
    """Environments, buffers and updates in one compiled program."""
    shared = SharedArrays(loop)
    shape, static = shape_and_static(loop.init, keys[0])

    def init(key, *ours):
        # Weakly typed numbers would compile the chunk twice: its own results are not weak.
        strong = lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x.astype(x.dtype)
        state = with_shared(loop, ours).init(key)
        return jax.tree.map(strong, eqx.filter(state, eqx.is_array))

    def chunk(learner, rest, key, first, last, total_steps, *ours):
        state = eqx.combine(TrainState(learner, *rest), static)
        state, totals = with_shared(loop, ours).chunk(state, key, first, last, total_steps)
        return eqx.filter(state, eqx.is_array), totals

    num_shared = len(shared.at(0))
    compiled_init = jax.jit(spread(init, len(keys), shared=num_shared))
    # Only the source's state is given away, so that a buffer is written in place.
    compiled = jax.jit(spread(chunk, len(keys), shared=3 + num_shared), donate_argnums=1)

    def run(state, first, last, total_steps):
        found = []
        for begin, end in shared.stretches(first, last):
            bounds = (np.int32(begin), np.int32(end), np.int32(total_steps))
            rest = (state.collector, state.buffer)
            state, totals = compiled(state.learner, rest, keys, *bounds, *shared.at(begin))
            found.append(totals)
        return state, added(found)

    return Program(
        init=lambda: compiled_init(keys, *shared.at(0)),
        chunk=run,
        template=lambda: with_seeds(shape, len(keys)),
        resume=lambda state: state,
        source=loop.source,
    )


def shape_and_static(init: Callable, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
    """What `init` returns: shapes for its arrays, and its other leaves with None for the arrays."""
    shape = eqx.filter_eval_shape(init, key)
    return shape, eqx.filter(shape, lambda x: not isinstance(x, jax.ShapeDtypeStruct))


def with_seeds(shape: PyTree, num_seeds: int) -> PyTree:
    arrays = eqx.filter(shape, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    widen = lambda x: jax.ShapeDtypeStruct((num_seeds, *x.shape), x.dtype)
    return jax.tree.map(widen, arrays)
