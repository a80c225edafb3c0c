"""Polynomials of what is observed, and the deterministic policies that are linear in them."""

import itertools
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .deterministic import PointMass
from .encoders import AbstractEncoder
from .policies import StatelessPolicy


class PolynomialEncoder(AbstractEncoder):
    r"""All monomials of the encoded vector up to `degree`, the constant 1 first.

    There are $\binom{n + d}{d}$. Degree 1 is $(1, x_1, \dots, x_n)$, in this order.
    """

    inside: AbstractEncoder
    degree: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """The number of monomials."""
        return math.comb(self.inside.size + self.degree, self.degree)

    def __call__(self, observation: Array) -> Float[Array, "*batch size"]:
        x = self.inside(observation)
        with_one = jnp.concatenate([jnp.ones_like(x[..., :1]), x], axis=-1)
        indices = range(with_one.shape[-1])
        factors = list(itertools.combinations_with_replacement(indices, self.degree))
        return jnp.prod(with_one[..., np.array(factors, int)], axis=-1)


class LinearPolicy(StatelessPolicy[PointMass]):
    r"""$a = \mu_\theta(s) = \theta^\top \phi(s)$, unbounded: the environment clips."""

    features: AbstractEncoder
    weight: Float[Array, "features action"]

    def distribution(self, observation: Any) -> PointMass:
        return PointMass(self.features(observation) @ self.weight)
