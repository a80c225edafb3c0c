"""Action distributions: batched over leading axes, a pytree each, no `vmap` needed.

Every distribution samples, scores and has a mode. Only those with a closed form also have an
entropy and divergences: `AbstractEntropicDistribution`. One key draws the whole batch.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from ..types import Scalar


class AbstractDistribution(eqx.Module):
    """A distribution over actions for each element of a batch."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "..."]:
        """Draw one action an element; all from one key."""

    @abc.abstractmethod
    def log_prob(self, action: Shaped[Array, "..."]) -> Float[Array, "*batch"]:
        """Log-probability or log-density of an action, in nats."""

    @abc.abstractmethod
    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Shaped[Array, "..."], Float[Array, "*batch"]]:
        """`sample` and its `log_prob`, at the cost of one pass and without inverting anything."""

    @abc.abstractmethod
    def mode(self) -> Shaped[Array, "..."]:
        """The action that evaluation takes."""


class AbstractEntropicDistribution(AbstractDistribution):
    """A distribution whose entropy, and divergence from its like, have a closed form."""

    @abc.abstractmethod
    def entropy(self) -> Float[Array, "*batch"]:
        """Entropy (differential entropy for a density), in nats."""

    @abc.abstractmethod
    def kl_divergence(self, other: Any) -> Float[Array, "*batch"]:
        r"""$D_{KL}(\text{self} \| \text{other})$ in nats; `other` is of the same class."""


class Categorical(AbstractEntropicDistribution):
    r"""$\pi(a) = \exp(\ell_a) / \sum_b \exp(\ell_b)$ over actions $0 \dots |A|-1$.

    A logit of $-\infty$ forbids its action. `Categorical(jnp.zeros(...))` is uniform.
    """

    logits: Float[Array, "*batch actions"]

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch"]:
        return jr.categorical(key, self.logits).astype(jnp.int32)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        log_probs = jax.nn.log_softmax(self.logits)
        # A select: the gradient of a gather is a scatter, a fifth slower in a training step.
        index = jax.lax.broadcasted_iota(action.dtype, log_probs.shape, log_probs.ndim - 1)
        return jnp.sum(jnp.where(index == action[..., None], log_probs, 0), axis=-1)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Int[Array, "*batch"], Float[Array, "*batch"]]:
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Float[Array, "*batch"]:
        log_probs = jax.nn.log_softmax(self.logits)
        # A forbidden action adds 0·(-inf): keep the product and its gradient finite.
        finite = jnp.where(jnp.isneginf(log_probs), 0, log_probs)
        return -jnp.sum(jnp.exp(log_probs) * finite, axis=-1)

    def kl_divergence(self, other: "Categorical") -> Float[Array, "*batch"]:
        log_probs = jax.nn.log_softmax(self.logits)
        ratio = log_probs - jax.nn.log_softmax(other.logits)
        # What is never drawn adds nothing; what `other` alone forbids makes it infinite.
        ratio = jnp.where(jnp.isneginf(log_probs), 0, ratio)
        return jnp.sum(jnp.exp(log_probs) * ratio, axis=-1)

    def mode(self) -> Int[Array, "*batch"]:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def only(self, allowed: Bool[Array, "*batch actions"]) -> "Categorical":
        """The same given that the action is `allowed`; given nothing where none is."""
        possible = allowed | ~jnp.any(allowed, axis=-1, keepdims=True)
        return Categorical(jnp.where(possible, self.logits, -jnp.inf))


class EpsilonGreedy(AbstractEntropicDistribution):
    r"""$\pi(a) = \epsilon/|A| + (1-\epsilon)\,[a \in \arg\max Q]\,/\,|\arg\max Q|$.

    Sutton and Barto (2018), section 2.2, with ties sharing the greedy mass equally, so that the
    probabilities always sum to 1. `epsilon` = 0 is the greedy policy; `mode` takes the first
    of the best actions.
    """

    action_values: Float[Array, "*batch actions"]
    epsilon: Float[Array, "*batch"]

    def __init__(
        self, action_values: Float[Array, "*batch actions"], epsilon: float | Float[Array, "..."]
    ):
        self.action_values = action_values
        epsilon = jnp.asarray(epsilon, action_values.dtype)
        self.epsilon = jnp.broadcast_to(epsilon, action_values.shape[:-1])

    def probabilities(self) -> Float[Array, "*batch actions"]:
        best = jnp.max(self.action_values, axis=-1, keepdims=True)
        greedy = (self.action_values == best).astype(self.action_values.dtype)
        greedy = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
        epsilon = self.epsilon[..., None]
        return epsilon / greedy.shape[-1] + (1 - epsilon) * greedy

    def _categorical(self) -> Categorical:
        return Categorical(jnp.log(self.probabilities()))

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch"]:
        return self._categorical().sample(key)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        return self._categorical().log_prob(action)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Int[Array, "*batch"], Float[Array, "*batch"]]:
        return self._categorical().sample_and_log_prob(key)

    def entropy(self) -> Float[Array, "*batch"]:
        return self._categorical().entropy()

    def kl_divergence(self, other: "EpsilonGreedy") -> Float[Array, "*batch"]:
        return self._categorical().kl_divergence(other._categorical())

    def mode(self) -> Int[Array, "*batch"]:
        return jnp.argmax(self.action_values, axis=-1).astype(jnp.int32)


def boltzmann(action_values: Float[Array, "*batch actions"], temperature: Scalar) -> Categorical:
    r"""$\pi(a) \propto \exp(Q(a)/\tau)$; Sutton and Barto (2018), section 2.8.

    `temperature` τ > 0 is in the units of the values.
    """
    return Categorical(action_values / temperature)


def _normal_log_density(
    noise: Float[Array, "*batch dims"], log_std: Float[Array, "*batch dims"]
) -> Float[Array, "*batch dims"]:
    """Log-density of mean + std·noise, one value a coordinate; the -log σ is kept."""
    return -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2 * math.pi)


class DiagonalGaussian(AbstractEntropicDistribution):
    r"""$a = \mu + \sigma \odot \xi,\ \xi \sim N(0, I)$; the event is the last axis.

    $$\log\pi(a) = \sum_i -\tfrac12\Big(\frac{a_i-\mu_i}{\sigma_i}\Big)^2
    - \log\sigma_i - \tfrac12\log 2\pi$$

    `log_std` ($\log\sigma$) broadcasts to the mean: shape `(dims,)` is one σ for all states.
    """

    mean: Float[Array, "*batch dims"]
    log_std: Float[Array, "*batch dims"]

    def __init__(self, mean: Float[Array, "*batch dims"], log_std: Float[Array, "..."]):
        self.mean = mean
        self.log_std = jnp.broadcast_to(log_std, mean.shape)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch dims"]:
        noise = jr.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, action: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
        noise = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(_normal_log_density(noise, self.log_std), axis=-1)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*batch dims"], Float[Array, "*batch"]]:
        # Through the action, not the noise: the score ∇log π must see it as a function of μ.
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)

    def kl_divergence(self, other: "DiagonalGaussian") -> Float[Array, "*batch"]:
        # ½(σ²/σ'² − 1 − log σ²/σ'²) as expm1(x) − x, which does not cancel where σ ≈ σ'.
        log_ratio = 2 * (self.log_std - other.log_std)
        shift = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return 0.5 * jnp.sum(jnp.expm1(log_ratio) - log_ratio + jnp.square(shift), axis=-1)

    def mode(self) -> Float[Array, "*batch dims"]:
        return self.mean


class TanhGaussian(AbstractDistribution):
    r"""$a = \tanh u,\ u = \mu + \sigma \odot \xi,\ \xi \sim N(0, I)$, in $(-1, 1)$ each coordinate.

    $$\log\pi(a) = \log N(u; \mu, \sigma) - \sum_i \log(1 - \tanh^2 u_i), \qquad
    \log(1 - \tanh^2 u) = 2\,(\log 2 - u - \mathrm{softplus}(-2u))$$

    Haarnoja et al. (2018), appendix C, in the form that does not cancel. There is no closed
    entropy: use a sample of $-\log\pi$. Samples and their log-probabilities are differentiable
    in the parameters (pathwise). `mode` is $\tanh\mu$, the median of each coordinate and the
    image of the Gaussian's mode; the density itself may peak elsewhere, even at the border.
    """

    mean: Float[Array, "*batch dims"]  # of u, before the tanh
    log_std: Float[Array, "*batch dims"]

    def __init__(self, mean: Float[Array, "*batch dims"], log_std: Float[Array, "..."]):
        self.mean = mean
        self.log_std = jnp.broadcast_to(log_std, mean.shape)

    def _log_density(
        self, pre_tanh: Float[Array, "*batch dims"], noise: Float[Array, "*batch dims"]
    ) -> Float[Array, "*batch"]:
        log_det = 2 * (math.log(2) - pre_tanh - jax.nn.softplus(-2 * pre_tanh))
        return jnp.sum(_normal_log_density(noise, self.log_std) - log_det, axis=-1)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch dims"]:
        noise = jr.normal(key, self.mean.shape, self.mean.dtype)
        return jnp.tanh(self.mean + jnp.exp(self.log_std) * noise)

    def log_prob(self, action: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
        """Finite at ±1, where rounding puts samples: scored as the last number inside."""
        inside = 1 - float(jnp.finfo(action.dtype).epsneg)
        pre_tanh = jnp.arctanh(jnp.clip(action, -inside, inside))
        noise = (pre_tanh - self.mean) * jnp.exp(-self.log_std)
        return self._log_density(pre_tanh, noise)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*batch dims"], Float[Array, "*batch"]]:
        noise = jr.normal(key, self.mean.shape, self.mean.dtype)
        pre_tanh = self.mean + jnp.exp(self.log_std) * noise
        return jnp.tanh(pre_tanh), self._log_density(pre_tanh, noise)

    def mode(self) -> Float[Array, "*batch dims"]:
        return jnp.tanh(self.mean)


class UniformBox(AbstractEntropicDistribution):
    r"""Uniform on $[-1, 1]^d$, for warm-up exploration; `shape` is `(*batch, dims)`."""

    bound: Float[Array, "*batch dims"]  # an array and not a shape, so that `vmap` may batch it

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
        self.bound = jnp.ones(shape, dtype)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch dims"]:
        return jr.uniform(key, self.bound.shape, self.bound.dtype, -self.bound, self.bound)

    def log_prob(self, action: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
        inside = jnp.all(jnp.abs(action) <= self.bound, axis=-1)
        return jnp.where(inside, -self.entropy(), -jnp.inf)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*batch dims"], Float[Array, "*batch"]]:
        return self.sample(key), -self.entropy()

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.sum(jnp.log(2 * self.bound), axis=-1)

    def kl_divergence(self, other: "UniformBox") -> Float[Array, "*batch"]:
        inside = jnp.all(self.bound <= other.bound, axis=-1)
        return jnp.where(inside, other.entropy() - self.entropy(), jnp.inf)

    def mode(self) -> Float[Array, "*batch dims"]:
        return jnp.zeros_like(self.bound)
