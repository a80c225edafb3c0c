"""The loss of a deterministic policy, and the action that a smoothed target values."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..types import Scalar


def actor_loss(q: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""$-Q(s, \mu_\theta(s))$, whose gradient is $-\nabla_\theta\mu\,\nabla_a Q(s, a)$ there.

    Silver et al. (2014), theorem 1: with $Q^\mu$, summed over states visited from t = 0 on at
    weight $\gamma^t$, it is $-\nabla J$. The gradient flows into `q` through its action; the
    critic's own parameters are constants, not differentiated. Over states that another policy
    visited it is no gradient of any J: the change of $Q^\mu$ with θ is missing (eq. 15).
    """
    return -q


def smoothed_action(
    action: Float[Array, "*batch dims"],
    noise: Float[Array, "*batch dims"],
    *,
    noise_clip: Scalar,
) -> Float[Array, "*batch dims"]:
    r"""$\mathrm{clip}\bigl(\mu(s') + \mathrm{clip}(\epsilon, -c, c), -1, 1\bigr)$.

    Fujimoto et al. (2018), section 5.3 and algorithm 1: a target that values the neighbourhood of
    an action cannot be raised by a narrow peak of Q. `noise` is $\epsilon$, drawn and scaled;
    `noise_clip` ($c \ge 0$) bounds it; both are in the policy's units, half the range of an action.
    """
    return jnp.clip(action + jnp.clip(noise, -noise_clip, noise_clip), -1.0, 1.0)
