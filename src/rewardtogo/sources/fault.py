"""The first number that an environment or a policy gave that was not finite."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from ..types import AnyArray, Transition


FIELDS = ("observation", "reward", "action")


class Fault(eqx.Module):
    """`step` is −1 while there is none; otherwise the environment's own step count, from 0."""

    step: Int[AnyArray, "*seed"]
    env: Int[AnyArray, "*seed"]
    field: Int[AnyArray, "*seed"]

    def first(
        self,
        rollout: Transition,
        steps_before: Int[Array, ""],
        *,
        mask: Bool[Array, "time env"] | None = None,
    ) -> "Fault":
        """Keep an earlier fault, or find the first in a rollout with axes `(time, env)`.

        Only steps within `mask` count: what an environment gives after its end is never used.
        """
        shape = rollout.reward.shape
        bad = [
            _not_finite((rollout.observation, rollout.next_observation), shape),
            _not_finite(rollout.reward, shape),
            _not_finite(rollout.action, shape),
        ]
        place = jnp.arange(np.prod(shape), dtype=jnp.int32).reshape(shape)
        never = jnp.iinfo(jnp.int32).max
        # One number holds place and field, so the smallest is the first in time.
        code = jnp.stack([place * len(FIELDS) + i for i in range(len(FIELDS))])
        counted = jnp.ones(shape, bool) if mask is None else mask
        first = jnp.min(jnp.where(jnp.stack([b & counted for b in bad]), code, never))
        place, field = first // len(FIELDS), first % len(FIELDS)
        is_new = (self.step < 0) & (first != never)
        pick = lambda new, old: jnp.where(is_new, new, old).astype(jnp.int32)
        return Fault(
            pick(steps_before // shape[1] + place // shape[1], self.step),
            pick(place % shape[1], self.env),
            pick(field, self.field),
        )


def no_fault() -> Fault:
    """Everything has been finite so far."""
    return Fault(*(jnp.asarray(x, jnp.int32) for x in (-1, 0, 0)))


def _not_finite(tree: Any, shape: tuple[int, ...]) -> Bool[Array, "time env"]:
    bad = jnp.zeros(shape, bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            bad |= jnp.any(~jnp.isfinite(leaf.reshape(*shape, -1)), axis=-1)
    return bad
