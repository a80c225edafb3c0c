"""Several discrete choices at once: a product of categoricals of any sizes."""

import functools
import itertools
import operator
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .distributions import AbstractEntropicDistribution, Categorical
from .encoders import AbstractEncoder
from .mlp import MLP
from .policies import StatelessPolicy


class MultiCategorical(AbstractEntropicDistribution):
    r"""$\pi(a) = \prod_i \pi_i(a_i)$, each $\pi_i$ a `Categorical` over $0 \dots n_i - 1$.

    Log-probability, entropy and divergence are the sums of the parts'. `sizes` holds the $n_i$;
    the logits of all parts stand in one row, part after part. The event is the last axis of an
    action, one number a part.
    """

    logits: Float[Array, "*batch choices"]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch parts"]:
        keys = jr.split(key, len(self.sizes))
        draws = [part.sample(k) for part, k in zip(self._parts(), keys, strict=True)]
        return jnp.stack(draws, axis=-1)

    def log_prob(self, action: Int[Array, "*batch parts"]) -> Float[Array, "*batch"]:
        return _sum(part.log_prob(action[..., i]) for i, part in enumerate(self._parts()))

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Int[Array, "*batch parts"], Float[Array, "*batch"]]:
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Float[Array, "*batch"]:
        return _sum(part.entropy() for part in self._parts())

    def kl_divergence(self, other: "MultiCategorical") -> Float[Array, "*batch"]:
        pairs = zip(self._parts(), other._parts(), strict=True)
        return _sum(ours.kl_divergence(theirs) for ours, theirs in pairs)

    def mode(self) -> Int[Array, "*batch parts"]:
        return jnp.stack([part.mode() for part in self._parts()], axis=-1)

    def only(self, allowed: Bool[Array, "*batch choices"]) -> "MultiCategorical":
        """Each part given that its choice is `allowed`; see `Categorical.only`."""
        masks = jnp.split(allowed, self._borders(), axis=-1)
        parts = [part.only(mask) for part, mask in zip(self._parts(), masks, strict=True)]
        return MultiCategorical(jnp.concatenate([p.logits for p in parts], axis=-1), self.sizes)

    def _parts(self) -> list[Categorical]:
        return [Categorical(part) for part in jnp.split(self.logits, self._borders(), axis=-1)]

    def _borders(self) -> list[int]:
        return list(itertools.accumulate(self.sizes))[:-1]


def _sum(terms: Iterable[Float[Array, "*batch"]]) -> Float[Array, "*batch"]:
    return functools.reduce(operator.add, terms)


class MultiCategoricalPolicy(StatelessPolicy[MultiCategorical]):
    """π(a | s) ∝ Π_i exp(f_θ(s)_{i,a_i}): parts that are independent given the state."""

    encoder: AbstractEncoder
    logits: MLP
    sizes: tuple[int, ...] = eqx.field(static=True)

    def distribution(self, observation: Any) -> MultiCategorical:
        return MultiCategorical(self.logits(self.encoder(observation)), self.sizes)
