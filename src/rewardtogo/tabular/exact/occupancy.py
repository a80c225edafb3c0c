r"""Where a policy spends its time.

$d_t^\pi$ is the distribution of $s_t$. The *occupancy* $p^\pi = \sum_t \gamma^t d_t^\pi$ is
improper (mass $1/(1-\gamma)$); the *visitation* $d^\pi = (1-\gamma) p^\pi$ is a distribution. It
is not the stationary distribution of the policy's chain: that forgets $\mu_0$ and γ. It is
stationary for the chain that restarts, $(1-\gamma) 1\mu_0^\top + \gamma P^\pi$.
"""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Float

from ...types import AnyArray
from ..mdp import AbstractMDP
from ..precision import in_float64
from .distances import require_distributions
from .evaluation import transition_matrix
from .termination import check_policy_ends


@in_float64
def state_distributions(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, horizon: int
) -> Float[AnyArray, "horizon states"]:
    r"""$d_t^\pi = \mu_0^\top (P^\pi)^t$ for $t = 0, \dots, H-1$, terminal states included."""
    dynamics = transition_matrix(mdp, policy)
    forward = lambda d, _: (d @ dynamics, d)
    return lax.scan(forward, mdp.initial, length=horizon, xs=None)[1]


@in_float64
def occupancy(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, " states"]:
    r"""The improper $p^\pi = \mu_0^\top (I - \gamma P^\pi)^{-1} = \sum_{t \ge 0} \gamma^t d_t^\pi$.

    Puterman (1994), section 6.9.1. For γ < 1 its mass is $1/(1-\gamma)$, what rests in terminal
    states included. At γ = 1 terminal states are left out (they would be infinite) and the mass
    is the mean number of actions in an episode. Multiply by $\pi(a \mid s)$ for state–action pairs.

    **Raises:** `ValueError` for rows that are no distribution, and if `mdp.discount` is 1 and the
    policy may never end.
    """
    require_distributions("policy", policy)
    check_policy_ends(mdp, policy)
    dynamics, initial = transition_matrix(mdp, policy), mdp.initial
    if mdp.discount == 1:
        initial = jnp.where(mdp.terminal, 0, initial)
        dynamics = jnp.where(mdp.terminal[None, :], 0, dynamics)
    return jnp.linalg.solve((jnp.eye(mdp.num_states) - mdp.discount * dynamics).T, initial)


@in_float64
def visitation(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, " states"]:
    r"""The normalised $d^\pi = (1-\gamma)\, \mu_0^\top (I - \gamma P^\pi)^{-1}$.

    Sutton et al. (2000), section 1; Kakade and Langford (2002), section 2.

    **Raises:** `ValueError` if `mdp.discount` is 1, where only `occupancy` exists.
    """
    if mdp.discount == 1:
        raise ValueError("`visitation` needs a `discount` below 1; got 1. Use `occupancy`.")
    return (1 - mdp.discount) * occupancy(mdp, policy)
