r"""Baselines that a batch of episodes gives itself.

Arrays are `[*time, episode]`: `[time, episode]` for a return to go at each step, `[episode]` for
the full return. `mask` is true where the step was taken. A finished episode counts as a return
of zero, for that is what it still earns; then every step's average is over all N episodes,
$G - b_{\text{mean}} = (1 - 1/N)(G - b_{\text{others}})$, and `leave_one_out` is unbiased whatever
the lengths. Averaging over the live episodes only would break both.

Those of the returns alone have the same signature, so that an algorithm may take any:
`(returns, mask) -> baseline`. Applied to the return to go they depend on the time $t$; applied to
the full return they are one number an episode.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def zero(
    returns: Float[Array, "*time episode"], mask: Bool[Array, "*time episode"]
) -> Float[Array, "*time episode"]:
    """No baseline."""
    del mask
    return jnp.zeros_like(returns)


def batch_mean(
    returns: Float[Array, "*time episode"], mask: Bool[Array, "*time episode"]
) -> Float[Array, "*time episode"]:
    r"""$b_t = \frac1N \sum_i G^i_t$, each episode's own return included.

    It depends on the action it judges: the expected gradient is $(1 - 1/N)\nabla J$, not
    $\nabla J$; Greensmith, Bartlett and Baxter (2004) on estimating a baseline from the same data.
    """
    mean = jnp.mean(jnp.where(mask, returns, 0), axis=-1, keepdims=True)
    return jnp.broadcast_to(mean, returns.shape)


def leave_one_out(
    returns: Float[Array, "*time episode"], mask: Bool[Array, "*time episode"]
) -> Float[Array, "*time episode"]:
    r"""$b^i_t = \frac1{N-1} \sum_{j \ne i} G^j_t$: the mean of the other episodes; unbiased.

    Kool, van Hoof and Welling (2019), *Buy 4 REINFORCE samples, get a baseline for free!*

    **Raises:** `ValueError` for fewer than two episodes.
    """
    episodes = returns.shape[-1]
    if episodes < 2:
        raise ValueError(f"`leave_one_out` needs at least 2 episodes in a batch; got {episodes}.")
    returns = jnp.where(mask, returns, 0)
    return (jnp.sum(returns, axis=-1, keepdims=True) - returns) / (episodes - 1)


def optimal(
    product: Float[Array, "*any episode"], square: Float[Array, "*any episode"]
) -> Float[Array, "*any episode"]:
    r"""The baseline of least variance, for each episode estimated from the others; unbiased.

    With $X = \sum_t g_t G_t$, the estimate of an episode without a baseline, and
    $g = \sum_t g_t$, its score, the best of each family is a ratio of expectations,

    $$b = \frac{E\langle X, g \rangle}{E \lVert g \rVert^2}, \qquad
    b_t = \frac{E\langle X, g_t \rangle}{E \lVert g_t \rVert^2}, \qquad
    b_j = \frac{E[X_j g_j]}{E[g_j^2]}:$$

    a constant, one for each step, one for each parameter. Weaver and Tao (2001), theorem 2;
    Greensmith, Bartlett and Baxter (2004), section 4; Peters and Schaal (2008), section 3.2. The
    expectations are here sums over the other episodes: from all of them a baseline would judge an
    action by its own return. 0 where no other episode has a score.

    **Arguments:** `product`, `square`: what stands under the expectations, of each episode; axes
    before the last are those of the family, none for the constant.
    **Raises:** `ValueError` for fewer than two episodes.
    """
    episodes = square.shape[-1]
    if episodes < 2:
        raise ValueError(f"`optimal` needs at least 2 episodes in a batch; got {episodes}.")
    # Not the total less the own: what is left of it after rounding would be divided by.
    others = 1 - jnp.eye(episodes, dtype=square.dtype)
    product, square = product @ others, square @ others
    return jnp.where(square > 0, product / jnp.where(square > 0, square, 1), 0)
