"""`Loop` over all seeds and devices, environments included, as one compiled program."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

from ..devices import spread
from .loop import Loop, Totals, TrainState


class Program(NamedTuple):
    """Training over all seeds; states hold arrays only, with the seeds as first axis.

    `chunk(state, first, last, total_steps)` runs gathers `first` to `last` − 1 and consumes the
    gatherer and the memory of `state`.
    """

    init: Callable[[], TrainState]
    chunk: Callable[[TrainState, int, int, int], tuple[TrainState, Totals]]
    template: Callable[[], TrainState]  # shapes and dtypes, for a checkpoint to be read into
    resume: Callable[[TrainState], TrainState]  # make a state read from a checkpoint go on


def compiled_program(loop: Loop, keys: Key[Array, " seed"]) -> Program:
    """Environments, buffers and updates in one compiled program."""
    shape, static = shape_and_static(loop.init, keys[0])

    def init(key):
        # Weakly typed numbers would compile the chunk twice: its own results are not weak.
        strong = lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x.astype(x.dtype)
        return jax.tree.map(strong, eqx.filter(loop.init(key), eqx.is_array))

    def chunk(algorithm, rest, key, first, last, total_steps):
        state = eqx.combine(TrainState(algorithm, *rest), static)
        state, totals = loop.chunk(state, key, first, last, total_steps)
        return eqx.filter(state, eqx.is_array), totals

    compiled_init = jax.jit(spread(init, len(keys), shared=0))
    # Only the source's state is given away, so that a buffer is written in place.
    compiled = jax.jit(spread(chunk, len(keys), shared=3), donate_argnums=1)

    def run(state, first, last, total_steps):
        bounds = (np.int32(first), np.int32(last), np.int32(total_steps))
        return compiled(state.algorithm, (state.gatherer, state.memory), keys, *bounds)

    return Program(
        init=lambda: compiled_init(keys),
        chunk=run,
        template=lambda: with_seeds(shape, len(keys)),
        resume=lambda state: state,
    )


def shape_and_static(init: Callable, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
    """What `init` returns: shapes for its arrays, and its other leaves with None for the arrays."""
    shape = eqx.filter_eval_shape(init, key)
    return shape, eqx.filter(shape, lambda x: not isinstance(x, jax.ShapeDtypeStruct))


def with_seeds(shape: PyTree, num_seeds: int) -> PyTree:
    arrays = eqx.filter(shape, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    widen = lambda x: jax.ShapeDtypeStruct((num_seeds, *x.shape), x.dtype)
    return jax.tree.map(widen, arrays)
