"""Policy-gradient losses: elementwise, unreduced, smaller is better."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Scalar


def score_function(
    log_prob: Float[Array, "*batch"], advantage: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$-\hat A(s, a)\,\log\pi_\theta(a \mid s)$.

    Williams (1992), sections 4 and 5; Sutton et al. (2000), theorem 1. Its gradient is the negated
    score times the advantage; its value means nothing. `log_prob` in nats; `advantage` in units
    of return, a constant.
    """
    return -lax.stop_gradient(advantage) * log_prob


def importance_weighted(
    log_prob: Float[Array, "*batch"],
    old_log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    r"""$-\rho\hat A$ with $\rho = \pi_\theta(a \mid s) / \pi_{\text{old}}(a \mid s)$.

    Schulman et al. (2017), eq. 6, negated; at $\rho = 1$ its gradient is that of
    `score_function`. Arguments as those of `clipped_surrogate`.
    """
    old_log_prob, advantage = lax.stop_gradient((old_log_prob, advantage))
    return -jnp.exp(log_prob - old_log_prob) * advantage


def clipped_surrogate(
    log_prob: Float[Array, "*batch"],
    old_log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    clip: Scalar,
) -> Float[Array, "*batch"]:
    r"""The pessimistic surrogate of PPO, one value an action.

    $$-\min\bigl(\rho \hat A,\; \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon)\,\hat A\bigr),
    \qquad \rho = \pi_\theta(a \mid s) / \pi_{\text{old}}(a \mid s)$$

    Schulman et al. (2017), eq. 7, negated so that smaller is better. Clipping takes away the
    gain of leaving the region, it does not forbid leaving.

    **Arguments:** `log_prob`: $\log\pi_\theta(a \mid s)$ in nats; gradients flow through this
    only. `old_log_prob`: $\log\pi_{\text{old}}(a \mid s)$ in nats, a constant. `advantage`: in
    units of return, a constant. `clip`: $\epsilon > 0$, the half-width of the ratio.
    """
    old_log_prob, advantage = lax.stop_gradient((old_log_prob, advantage))
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped_ratio = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -jnp.minimum(ratio * advantage, clipped_ratio * advantage)
