"""What an optimiser's own state says of the gradients that it was given."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


# The decay that every Adam of the library has.
FIRST_MOMENT_DECAY, SECOND_MOMENT_DECAY = 0.9, 0.999


def gradient_signal_to_noise(opt_state: optax.OptState) -> Float[Array, ""]:
    r"""$\|E g\|^2 / \mathrm{tr}\,\mathrm{Cov}[g]$ of the recent gradients, from Adam's moments.

    With $\hat m, \hat v$ the means of $g$ and $g^2$ that Adam keeps after $t$ steps (Kingma and
    Ba, 2015, algorithm 1, their bias corrected), gradients of one mean and covariance give

    $$E\|\hat m\|^2 = \|E g\|^2 + \kappa\,\mathrm{tr}\,\mathrm{Cov}[g], \quad
    E\!\sum\hat v = \|E g\|^2 + \mathrm{tr}\,\mathrm{Cov}[g], \quad
    \kappa = \frac{(1-\beta_1)(1+\beta_1^t)}{(1+\beta_1)(1-\beta_1^t)}$$

    which is solved for both. $\kappa$ is the sum of the squared weights in $\hat m$. Below 1 the
    noise of a single gradient outweighs what it says; about 1/ratio gradients must be averaged to
    balance them. The gradients are those after any clipping of their norm, over all that this
    optimiser trains; the parameters moved in the meantime, so that this is a gauge and not an
    estimate. 0 where there is no signal to be seen, and after the first step, which shows none.
    Costs one pass over the parameters.
    """
    state = _adam(opt_state)
    square = jnp.asarray(optax.tree.sum(state.nu))
    steps = jnp.asarray(state.count, square.dtype)
    mean = (
        jnp.asarray(optax.tree.norm(state.mu, squared=True)) / (1 - FIRST_MOMENT_DECAY**steps) ** 2
    )
    square = square / (1 - SECOND_MOMENT_DECAY**steps)
    past = FIRST_MOMENT_DECAY**steps
    overlap = (1 - FIRST_MOMENT_DECAY) * (1 + past) / ((1 + FIRST_MOMENT_DECAY) * (1 - past))
    signal, noise = jnp.maximum(mean - overlap * square, 0), square - mean
    seen = (steps > 1) & (noise > 0)
    return jnp.where(seen, signal / jnp.where(seen, noise, 1), 0)


def _adam(opt_state: optax.OptState) -> optax.ScaleByAdamState:
    is_adam = lambda node: isinstance(node, optax.ScaleByAdamState)
    (state,) = filter(is_adam, jax.tree.leaves(opt_state, is_leaf=is_adam))
    return state
