r"""Policy iteration: evaluate exactly, improve, until nothing improves."""

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...types import AnyArray
from ..exact.sparse_solve import sparse_state_values
from ..exact.termination import check_policy_ends, ending_policy
from ..mdp import AbstractMDP
from ..precision import in_float64
from ..successors import SuccessorMDP
from .chains import chain_of
from .solution import Solution, Sweep, centred_lookahead, rounding_error
from .stopping import Stopping, outcomes, stopping, undiscounted


# From here on a dense factorisation costs more than a sparse one of lists.
_DENSE = 1000


@in_float64
def policy_iteration(
    mdp: AbstractMDP, *, tolerance: float = 1e-6, max_iterations: int = 1_000
) -> Solution:
    r"""Howard (1960); Puterman (1994), section 6.4.

    Each policy is evaluated by a linear solve: dense, or sparse for lists of more than a thousand
    states. An action is exchanged only for one that is better by more than rounding, so ties
    cannot make it cycle. At γ = 1 it starts from a policy that ends, and then every better one ends
    too. Dense problems with γ < 1 run under `jit` and `vmap`.

    **Arguments:** `tolerance`: the bound on the error of the values that counts as solved.
    **Returns:** the solution; `iterations` are policies evaluated.
    **Raises:** `ValueError` as `value_iteration`, and at γ = 1 if the optimal value is infinite.
    """
    target = stopping(mdp, tolerance, max_iterations)
    greedy = jnp.argmax(mdp.reward, axis=1)
    start = jnp.asarray(ending_policy(mdp)) if mdp.discount == 1 else greedy
    if isinstance(mdp, SuccessorMDP) and mdp.num_states > _DENSE:
        last, iterations = _iterate_lists(mdp, start, target)
    else:
        last, iterations = _iterate(undiscounted(mdp), start, target)
    if mdp.discount == 1:
        require_end(mdp, last.policy)
    return target.solution(mdp, last, iterations)


def require_end(mdp: AbstractMDP, policy: Int[AnyArray, " states"]) -> None:
    """**Raises:** `ValueError` if the best policy at γ = 1 never ends: it is paid for ever."""
    try:
        check_policy_ends(mdp, np.eye(mdp.num_actions)[np.asarray(policy)])
    except ValueError as error:
        raise ValueError(
            "`discount` is 1 and the optimal value is infinite: a loop of states pays on average, "
            f"and the best policy stays in it. ({error})"
        ) from None


def _iterate_lists(
    mdp: SuccessorMDP, policy: Int[Array, " states"], stopping: Stopping
) -> tuple[Sweep, Int[Array, ""]]:
    tables, better, count = undiscounted(mdp), True, 0
    while better and count < stopping.limit:
        count += 1
        table = np.eye(mdp.num_actions)[np.asarray(policy)]
        values = jnp.asarray(sparse_state_values(mdp, table))
        last, better = _improve(tables, policy, values, stopping.discount)
        policy = last.policy
    return last, jnp.asarray(count)


@jax.jit
def _iterate(
    mdp: AbstractMDP, policy: Int[Array, " states"], stopping: Stopping
) -> tuple[Sweep, Int[Array, ""]]:
    def wanted(carry):
        _, better, iterations = carry
        return better & (iterations < stopping.limit)

    def again(carry):
        last, _, iterations = carry
        return *_step(mdp, last.policy, stopping.discount), iterations + 1

    first = *_step(mdp, policy, stopping.discount), jnp.asarray(1)
    last, _, iterations = lax.while_loop(wanted, again, first)
    return last, iterations


def _step(
    mdp: AbstractMDP, policy: Int[Array, " states"], discount: Float[Array, ""]
) -> tuple[Sweep, Bool[Array, ""]]:
    return _improve(mdp, policy, _values(mdp, policy, discount), discount)


def _values(
    mdp: AbstractMDP, policy: Int[Array, " states"], discount: Float[Array, ""]
) -> Float[Array, " states"]:
    chain = chain_of(mdp, policy)
    dynamics = jnp.where(mdp.terminal[:, None], 0, chain.matrix())
    return jnp.linalg.solve(jnp.eye(mdp.num_states) - discount * dynamics, chain.reward)


@jax.jit
def _improve(
    mdp: AbstractMDP,
    policy: Int[Array, " states"],
    values: Float[Array, " states"],
    discount: Float[Array, ""],
) -> tuple[Sweep, Bool[Array, ""]]:
    """Exchange actions for better ones, and say whether any was."""
    q = centred_lookahead(mdp, values, discount)
    best, current = jnp.max(q, axis=1), jnp.take_along_axis(q, policy[:, None], axis=1)[:, 0]
    slack = 4 * rounding_error(mdp, values, outcomes(mdp))
    better = best > current + slack
    improved = jnp.where(better, jnp.argmax(q, axis=1), policy)
    change = best - values
    return Sweep(best, improved, jnp.min(change), jnp.max(change)), jnp.any(better)
