"""Linear values at the fixed point of temporal differences, by one linear solve."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..types import Scalar


def least_squares_td(
    features: Float[Array, "batch features"],
    next_features: Float[Array, "batch features"],
    reward: Float[Array, " batch"],
    terminated: Bool[Array, " batch"],
    *,
    discount: Scalar,
    ridge: Scalar,
) -> Float[Array, " features"]:
    r"""The x at which the mean semi-gradient TD step is nought, $E[\delta\psi] = \lambda D x$.

    $$\Bigl(E[\psi(\psi - \gamma\psi')^\top] + \lambda D\Bigr) x = E[\psi r], \qquad
    \delta = r + \gamma\,\psi'^\top x - \psi^\top x, \qquad D = \mathrm{diag}\,E[\psi^2]$$

    Bradtke and Barto (1996), section 5.2; means over the batch, and $\psi' = 0$ after
    termination. `ridge` (λ > 0) is measured by each feature's own mean square, so that no unit
    matters; a feature that is 0 throughout has weight 0.
    """
    scale = jnp.sqrt(jnp.mean(features**2, axis=0))
    scale = jnp.where(scale > 0, scale, 1)[None, :]
    now = features / scale
    later = jnp.where(terminated[:, None], 0, next_features) / scale
    system = now.T @ (now - discount * later) / len(reward)
    system = system + ridge * jnp.eye(len(system), dtype=system.dtype)
    return jnp.linalg.solve(system, now.T @ reward / len(reward)) / scale[0]
