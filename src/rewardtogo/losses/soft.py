"""Losses of soft actor–critic at an action; `expected` takes their mean over discrete actions."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Scalar


def soft_value(
    min_q: Float[Array, "*batch"], log_prob: Float[Array, "*batch"], temperature: Scalar
) -> Float[Array, "*batch"]:
    r"""$\min_i Q_i(s, a) - \tau\log\pi(a \mid s)$ for $a \sim \pi(\cdot \mid s)$.

    Haarnoja et al. (2018), *Algorithms and Applications*, eq. 3: an unbiased sample of the soft
    value. Here Q leaves out the entropy of its own first action, as SAC's does.
    """
    return min_q - temperature * log_prob


def actor_loss(
    log_prob: Float[Array, "*batch"], q: Float[Array, "*batch"], temperature: Scalar
) -> Float[Array, "*batch"]:
    r"""$\tau\log\pi_\theta(a_\theta \mid s) - Q(s, a_\theta)$ for a reparametrised $a_\theta$.

    Haarnoja et al. (2018), *Algorithms and Applications*, eq. 9. Gradients flow through the
    action into `q` and `log_prob`; the temperature is a constant.
    """
    return lax.stop_gradient(temperature) * log_prob - q


def temperature_loss(
    log_temperature: Scalar, log_prob: Float[Array, "*batch"], target_entropy: Scalar
) -> Float[Array, "*batch"]:
    r"""$-\tau\,(\log\pi(a \mid s) + \bar H)$ with $\tau = \exp$ `log_temperature`.

    Haarnoja et al. (2018), *Algorithms and Applications*, eq. 18. The temperature rises while
    the entropy is below `target_entropy` ($\bar H$, in nats). `log_prob` is a constant.
    """
    return -jnp.exp(log_temperature) * (lax.stop_gradient(log_prob) + target_entropy)


def expected(
    log_probs: Float[Array, "*batch actions"], of_each: Float[Array, "*batch actions"]
) -> Float[Array, "*batch"]:
    r"""$\sum_a \pi(a \mid s)\, f(s, a)$: the functions above without sampling.

    Christodoulou (2019), eqs. 10–12. `log_probs` are those of all actions of a discrete policy,
    `of_each` is $f$ at each action; what is never drawn ($\log\pi = -\infty$) adds nothing.
    """
    return jnp.sum(jnp.exp(log_probs) * jnp.where(jnp.isneginf(log_probs), 0, of_each), axis=-1)
