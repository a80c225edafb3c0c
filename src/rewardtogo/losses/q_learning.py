"""Targets and choices for action values; the action is the last axis of `q`."""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..types import Scalar


def bellman_target(
    reward: Float[Array, "*batch"],
    next_value: Float[Array, "*batch"],
    terminated: Bool[Array, "*batch"],
    *,
    discount: Scalar | Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    r"""$r + \gamma\,v(s')$, and $r$ alone where $s'$ is terminal; a constant.

    Mnih et al. (2015), algorithm 1; with $v(s')$ from `max_value` it is their target. A
    truncated step still bootstraps: only `terminated` ends the return.
    """
    return lax.stop_gradient(reward + discount * jnp.where(terminated, 0, next_value))


def taken(
    q: Float[Array, "*batch actions"], action: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """$Q(s, a)$ of the action taken."""
    # A select: the gradient of a gather would be a scatter.
    index = lax.broadcasted_iota(action.dtype, q.shape, q.ndim - 1)
    return jnp.sum(jnp.where(index == action[..., None], q, 0), axis=-1)


def max_value(q: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    r"""$\max_a Q(s, a)$; Watkins (1989)."""
    return jnp.max(q, axis=-1)


def double_q_value(
    online_q: Float[Array, "*batch actions"], target_q: Float[Array, "*batch actions"]
) -> Float[Array, "*batch"]:
    r"""$Q_{\text{target}}(s, \arg\max_a Q_{\text{online}}(s, a))$.

    van Hasselt et al. (2016), section "Double DQN": one network chooses, the other judges.
    """
    return taken(target_q, jnp.argmax(online_q, axis=-1))
