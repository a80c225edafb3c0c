r"""What corrects episodes of a behaviour policy β for the policy π that is judged.

`log_ratio` is $\log\pi(a_t \mid s_t) - \log\beta(a_t \mid s_t)$ in nats, `[time, episode]`, and 0
where no step was taken; the dynamics are the same under both and cancel. Products are taken of
its exponentials: a trajectory's ratio spans many orders of magnitude.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Scalar


def step_ratio(log_ratio: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
    r"""$\rho_t = \pi(a_t \mid s_t) / \beta(a_t \mid s_t)$.

    It corrects the action, neither the states before it nor the actions after: the gradient that
    it gives is that of the surrogate $L_\beta(\pi)$. Schulman et al. (2015), eq. 3.
    """
    return jnp.exp(log_ratio)


def clipped_ratio(
    log_ratio: Float[Array, "time episode"], *, clip: Scalar
) -> Float[Array, "time episode"]:
    r"""$\mathrm{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon)$: less variance, for a bias.

    Ionides (2008) truncates from above; both sides, as a constant weight of the score, MiniMax
    (2025), *MiniMax-M1*, section 3.1. The clipped surrogate of PPO is another thing: there the
    gradient is 0 beyond the clip.
    """
    return jnp.clip(jnp.exp(log_ratio), 1 - clip, 1 + clip)


def prefix_ratio(log_ratio: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
    r"""$\rho_{0:t} = \prod_{k \le t} \rho_k$: all that a reward at $t$ depends on.

    Precup, Sutton and Singh (2000), section 3 (per-decision).
    """
    return jnp.exp(jnp.cumsum(log_ratio, axis=0))


def trajectory_ratio(log_ratio: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
    r"""$\rho_{0:T-1} = p_\pi(\tau) / p_\beta(\tau)$, at every step.

    Precup, Sutton and Singh (2000), section 2.
    """
    total = jnp.sum(log_ratio, axis=0, keepdims=True)
    return jnp.broadcast_to(jnp.exp(total), log_ratio.shape)


def self_normalised_ratio(log_ratio: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
    r"""$\rho^i_{0:T-1} \big/ \frac1N \sum_j \rho^j_{0:T-1}$, at every step: weights of mean 1.

    Precup, Sutton and Singh (2000), section 2 (weighted). Biased, by $O(1/N)$, and bounded by N.
    """
    share = jax.nn.softmax(jnp.sum(log_ratio, axis=0))
    return jnp.broadcast_to(share.size * share, log_ratio.shape)


def effective_sample_share(log_ratio: Float[Array, "time episode"]) -> Float[Array, ""]:
    r"""$\frac1N \bigl(\sum_i w_i\bigr)^2 \big/ \sum_i w_i^2$ of the trajectories' ratios $w_i$.

    Kong, Liu and Wong (1994): the effective sample size, as a share of the N episodes. 1 where
    all ratios are equal, 1/N where one outweighs all others.
    """
    share = jax.nn.softmax(jnp.sum(log_ratio, axis=0))
    return 1 / (share.size * jnp.sum(share**2))
