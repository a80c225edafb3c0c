"""`Loop` over all seeds and devices, environments included, as one compiled program."""

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Key, PRNGKeyArray, PyTree

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


def spread(function: Callable, num_seeds: int, *, shared: int) -> Callable:
    """Map `function` over the first axis of all but its last `shared` arguments, on all devices.

    On a CPU the seeds of one device run one after another: to batch their small matrix products
    was slower (see `docs/design.md`). On an accelerator they are batched.
    """
    batched_axes = lambda args: [0] * (len(args) - shared) + [None] * shared

    def mapped(*args):
        if jax.default_backend() != "cpu":
            return jax.vmap(function, batched_axes(args))(*args)
        mine, ours = args[: len(args) - shared], args[len(args) - shared :]
        return lax.map(lambda mine: function(*mine, *ours), mine)

    num_devices = _devices_for(num_seeds)
    if num_devices == 1:
        return mapped
    devices = np.array(jax.local_devices()[:num_devices])
    mesh = Mesh(devices, ("seed",), axis_types=(AxisType.Auto,))
    seeds, all_seeds = PartitionSpec("seed"), PartitionSpec()

    def sharded(*args):
        specs = tuple(all_seeds if axis is None else seeds for axis in batched_axes(args))
        return jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=seeds, check_vma=False)(
            *args
        )

    return sharded


def side_by_side(num_seeds: int) -> int:
    """How many of them `spread` runs at the same time in one memory."""
    devices = _devices_for(num_seeds)
    return devices if jax.default_backend() == "cpu" else num_seeds // devices


def _devices_for(num_seeds: int) -> int:
    return math.gcd(num_seeds, jax.local_device_count())


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
