r"""Distances between distributions on finitely many points, and the couplings behind them.

Arguments are probabilities along the last axis, with any leading axes. Input that can be read (not
traced) is checked: `ValueError` for entries below 0, NaN, or a sum further than 1e-5 from 1.
Everything is computed in float64 and differentiable where the mathematics is.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Float, Int, PRNGKeyArray

from ...types import AnyArray
from ..mdp import draw_index
from ..precision import in_float64


# 2^16 events of 16 points are 8 MB; one point more doubles them.
_MOST_POINTS = 16
# What a row written in float32 may miss.
_ROUNDING = 1e-5


@in_float64
def total_variation(
    p: Float[AnyArray, "*batch points"], q: Float[AnyArray, "*batch points"]
) -> Float[AnyArray, "*batch"]:
    r"""$D_{TV}(p, q) = \tfrac12 \sum_i |p_i - q_i|$, in [0, 1].

    Levin and Peres (2017), proposition 4.2.

    **Raises:** `ValueError` if `p` or `q` is not a distribution, or their shapes differ.
    """
    _check_pair(p, q)
    return jnp.sum(jnp.abs(p - q), axis=-1) / 2


@in_float64
def total_variation_by_excess(
    p: Float[AnyArray, "*batch points"], q: Float[AnyArray, "*batch points"]
) -> Float[AnyArray, "*batch"]:
    r"""$D_{TV}(p, q) = \sum_i (p_i - q_i)_+$: the mass that has to be moved.

    Levin and Peres (2017), remark 4.3.

    **Raises:** as `total_variation`.
    """
    _check_pair(p, q)
    return jnp.sum(jnp.maximum(p - q, 0), axis=-1)


@in_float64
def total_variation_by_events(
    p: Float[AnyArray, "*batch points"], q: Float[AnyArray, "*batch points"]
) -> Float[AnyArray, "*batch"]:
    r"""$D_{TV}(p, q) = \max_E |p(E) - q(E)|$ over all $2^n$ events.

    Levin and Peres (2017), section 4.1: the definition, for at most 16 points.

    **Raises:** as `total_variation`, and for more points.
    """
    _check_pair(p, q)
    points = p.shape[-1]
    if points > _MOST_POINTS:
        raise ValueError(
            f"all events of {points} points are too many; at most {_MOST_POINTS}. "
            "Use `total_variation`."
        )
    events = (np.arange(2**points)[:, None] >> np.arange(points)) & 1
    return jnp.max(jnp.abs((p - q) @ events.T.astype(np.float64)), axis=-1)


@in_float64
def kl_divergence(
    p: Float[AnyArray, "*batch points"], q: Float[AnyArray, "*batch points"]
) -> Float[AnyArray, "*batch"]:
    r"""$D_{KL}(p \,\|\, q) = \sum_i p_i \log(p_i / q_i)$, in nats.

    Cover and Thomas (2006), equation 2.26. $0 \log 0 = 0$; infinite where $q_i = 0 < p_i$.

    **Raises:** as `total_variation`.
    """
    _check_pair(p, q)
    possible = p > 0
    # The logarithms are masked on their way in too, or their gradients at 0 would be NaN.
    log_ratio = jnp.log(jnp.where(possible, p, 1)) - jnp.log(jnp.where(possible, q, 1))
    return jnp.sum(jnp.where(possible, p * log_ratio, 0), axis=-1)


@in_float64
def optimal_coupling(
    p: Float[AnyArray, " points"], q: Float[AnyArray, " points"]
) -> Float[AnyArray, "points points"]:
    r"""The joint table of $X \sim p$ and $Y \sim q$ that are equal as often as they can be.

    $$P(X = i, Y = j) = \min(p_i, q_i)\, 1[i = j]
    + \frac{(p_i - q_i)_+ (q_j - p_j)_+}{D_{TV}(p, q)}$$

    Levin and Peres (2017), proposition 4.7: $P(X \ne Y) = 1 - \sum_i \min(p_i, q_i) = D_{TV}$,
    the least possible. Where $p = q$ there is only the diagonal, where their supports are
    disjoint only the product.

    **Returns:** $P(X = i, Y = j)$; rows sum to `p`, columns to `q`, and 1 − trace is $D_{TV}$.
    **Raises:** as `total_variation`.
    """
    _check_pair(p, q)
    surplus, deficit = jnp.maximum(p - q, 0), jnp.maximum(q - p, 0)
    distance = jnp.sum(surplus)
    share = deficit / jnp.where(distance > 0, distance, 1)
    return jnp.diag(jnp.minimum(p, q)) + surplus[:, None] * share[None, :]


@in_float64
def sample_coupling(
    p: Float[AnyArray, " points"],
    q: Float[AnyArray, " points"],
    *,
    key: PRNGKeyArray,
    num_samples: int,
) -> tuple[Int[AnyArray, " samples"], Int[AnyArray, " samples"]]:
    r"""Independent draws of the pair $(X, Y)$ of `optimal_coupling`: $P(X \ne Y) = D_{TV}(p, q)$.

    **Raises:** as `total_variation`, and if `num_samples` is below 1.
    """
    if num_samples < 1:
        raise ValueError(f"`num_samples` must be at least 1; got {num_samples}.")
    joint = jnp.asarray(optimal_coupling(p, q)).reshape(-1)
    draw = lambda one: draw_index(joint, key=one)
    pairs = jax.vmap(draw)(jr.split(key, num_samples))
    return pairs // p.shape[0], pairs % p.shape[0]


def _check_pair(p: AnyArray, q: AnyArray) -> None:
    if p.shape != q.shape:
        raise ValueError(f"`p` and `q` must have one shape; got {p.shape} and {q.shape}.")
    require_distributions("p", p)
    require_distributions("q", q)


def require_distributions(name: str, table: Float[AnyArray, "*batch points"]) -> None:
    """**Raises:** `ValueError` naming the first row that is no distribution; traced ones pass."""
    if isinstance(table, Tracer):
        return
    rows = np.asarray(table)
    if rows.ndim == 0 or rows.shape[-1] == 0:
        raise ValueError(f"`{name}` must hold probabilities; got shape {rows.shape}.")
    # NaN fails every comparison, so it counts as wrong here.
    wrong = np.argwhere(~(rows.min(-1) >= 0) | ~(np.abs(rows.sum(-1) - 1) <= _ROUNDING))
    if len(wrong):
        where = tuple(int(i) for i in wrong[0])
        row = rows[where]
        raise ValueError(
            f"`{name}`{f' at {list(where)}' if where else ''} is no distribution: its least entry "
            f"is {row.min():.6g} and its sum {row.sum():.6g}; entries are at least 0 and sum to 1."
        )
