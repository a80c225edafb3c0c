r"""Exact values of a stationary policy $\pi(a \mid s)$.

The backup is $B_\pi V = r^\pi + \gamma P^\pi V$ with $r^\pi(s) = \sum_a \pi(a|s) r(s,a)$ and
$P^\pi(s,s') = \sum_a \pi(a|s) P(s'|s,a)$; a terminal state is worth 0. All functions compute in
float64 and are differentiable in `policy` and in the tables (inside `jax.enable_x64`). Those over
an endless horizon raise `ValueError` at γ = 1 where the policy never ends.
"""

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from ...types import AnyArray
from ..mdp import AbstractMDP
from ..precision import in_float64
from ..successors import SuccessorMDP
from .distances import require_distributions
from .sparse_solve import sparse_state_values
from .termination import check_policy_ends


_DENSE = 2000  # states, from where on lists are solved as lists


@in_float64
def transition_matrix(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, steps: int = 1
) -> Float[AnyArray, "states states"]:
    r"""$(P^\pi)^k$: the probability of being in $s'$ exactly $k$ = `steps` steps after $s$."""
    return jnp.linalg.matrix_power(mdp.policy_matrix(policy), steps)


@in_float64
def lookahead(
    mdp: AbstractMDP, values: Float[AnyArray, " states"]
) -> Float[AnyArray, "states actions"]:
    r"""$r(s,a) + \gamma \sum_{s'} P(s' \mid s,a)\, V(s')$: action values from state values."""
    return mdp.reward + mdp.discount * mdp.expected(values)


@in_float64
def policy_backup(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], values: Float[AnyArray, " states"]
) -> Float[AnyArray, " states"]:
    r"""$B_\pi V$; Puterman (1994), section 6.1. A γ-contraction in the maximum norm for γ < 1."""
    return jnp.sum(policy * lookahead(mdp, values), axis=1)


@in_float64
def state_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, " states"]:
    r"""Solve the Bellman expectation equation for $V^\pi$.

    $$V^\pi = (I - \gamma P^\pi)^{-1} r^\pi$$

    Puterman (1994), section 6.1. One dense solve, $O(|S|^3)$, over the states that are not
    terminal: at γ = 1 these are transient and the matrix is regular. Lists of more than two
    thousand states take a sparse solve, which has no derivative.

    **Returns:** the expected discounted sum of rewards from each state, in reward units.
    **Raises:** `ValueError` for rows that are no distribution, and if `mdp.discount` is 1 and the
    policy may never end.
    """
    require_distributions("policy", policy)
    check_policy_ends(mdp, policy)
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((mdp, policy)))
    if isinstance(mdp, SuccessorMDP) and mdp.num_states > _DENSE and not traced:
        return jnp.asarray(sparse_state_values(mdp, np.asarray(policy)))
    reward = jnp.sum(policy * mdp.reward, axis=1)
    dynamics = jnp.where(mdp.terminal[:, None], 0, transition_matrix(mdp, policy))
    return jnp.linalg.solve(jnp.eye(mdp.num_states) - mdp.discount * dynamics, reward)


@in_float64
def iterated_state_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, iterations: int
) -> Float[AnyArray, " states"]:
    r"""$B_\pi^k 0$: the value over $k$ = `iterations` steps, which tends to $V^\pi$.

    Puterman (1994), section 6.3; the error is at most $\gamma^k \max|V^\pi|$. Defined at γ = 1 for
    every policy, since $k$ is finite.
    """
    reward = jnp.sum(policy * mdp.reward, axis=1)
    dynamics = mdp.discount * transition_matrix(mdp, policy)
    return lax.fori_loop(
        0, iterations, lambda _, values: reward + dynamics @ values, jnp.zeros_like(reward)
    )


@in_float64
def action_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, "states actions"]:
    r"""$Q^\pi(s,a) = r(s,a) + \gamma \sum_{s'} P(s' \mid s,a) V^\pi(s')$."""
    return lookahead(mdp, state_values(mdp, policy))


@in_float64
def advantages(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, "states actions"]:
    r"""$A^\pi(s,a) = Q^\pi(s,a) - V^\pi(s)$."""
    values = state_values(mdp, policy)
    return lookahead(mdp, values) - values[:, None]


@in_float64
def expected_return(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, ""]:
    r"""$J(\pi) = \sum_s \mu_0(s) V^\pi(s)$."""
    return mdp.initial @ state_values(mdp, policy)


@in_float64
def finite_horizon_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, horizon: int
) -> tuple[Float[AnyArray, "horizon states"], Float[AnyArray, "horizon states actions"]]:
    r"""$V_t$ and $Q_t$ for $t = 0, \dots, H-1$, by backward induction from $V_H = 0$.

    $$Q_t(s,a) = r(s,a) + \gamma \sum_{s'} P(s' \mid s,a) V_{t+1}(s'), \qquad
    V_t(s) = \sum_a \pi(a \mid s) Q_t(s,a)$$

    Puterman (1994), section 4.2. Values at time $t$ are discounted to $t$, not to 0.
    """

    def backward(later, _):
        q = lookahead(mdp, later)
        values = jnp.sum(policy * q, axis=1)
        return values, (values, q)

    start = jnp.zeros(mdp.num_states, policy.dtype)
    return lax.scan(backward, start, length=horizon, reverse=True, xs=None)[1]
