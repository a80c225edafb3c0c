"""Cutting batches into minibatches."""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, PRNGKeyArray


def shuffled_rows(
    key: PRNGKeyArray, *, size: int, num_epochs: int, num_minibatches: int
) -> Int[Array, "steps rows"]:
    """Row numbers of `num_epochs` passes over `size` rows, each pass shuffled and cut evenly.

    Every row comes once a pass. The last minibatch of a pass is followed by the first of the next.

    **Raises:** `ValueError` if `num_minibatches` does not divide `size`.
    """
    if size % num_minibatches:
        raise ValueError(f"`num_minibatches` ({num_minibatches}) must divide the {size} rows.")
    # One sort of random numbers that carry their row in the low bits takes half the time of a sort
    # of pairs. At 2¹⁷ rows 15 random bits are left; equal ones keep their order, which changes a
    # minibatch in a handful of rows at its ends.
    low_bits = jnp.uint32((1 << max(size - 1, 1).bit_length()) - 1)
    bits = jr.bits(key, (num_epochs, size), jnp.uint32)
    rows = jnp.broadcast_to(jnp.arange(size, dtype=jnp.uint32), bits.shape)
    order = jnp.sort((bits & ~low_bits) | rows, axis=-1) & low_bits
    return order.astype(jnp.int32).reshape(num_epochs * num_minibatches, -1)


def shuffled_sequences(
    key: PRNGKeyArray, *, time: int, envs: int, length: int, num_epochs: int, num_minibatches: int
) -> Int[Array, "steps length rows"]:
    """As `shuffled_rows`, of sequences of `length` steps; the rows are those of `[time · env]`.

    **Raises:** `ValueError` if `length` does not divide `time`, or `num_minibatches` the sequences.
    """
    if time % length:
        raise ValueError(f"`sequence_length` ({length}) must divide the {time} steps of a rollout.")
    sequences = shuffled_rows(
        key,
        size=time // length * envs,
        num_epochs=num_epochs,
        num_minibatches=num_minibatches,
    )
    first = sequences // envs * length * envs + sequences % envs
    return first[:, None] + envs * jnp.arange(length, dtype=jnp.int32)[None, :, None]
