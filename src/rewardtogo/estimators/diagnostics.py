"""Figures that say how well something learned."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def explained_variance(
    value: Float[Array, "*batch"], target: Float[Array, "*batch"]
) -> Float[Array, ""]:
    """1 − Var[G − V] / Var[G]: 1 is a perfect critic, 0 one no better than a constant."""
    return 1 - jnp.var(target - value) / (jnp.var(target) + 1e-8)
