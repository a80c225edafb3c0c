r"""Modified policy iteration: improve the policy, then evaluate it only as well as it pays."""

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..mdp import AbstractMDP
from ..precision import in_float64
from .chains import DenseChain, chain_of
from .solution import Solution, Sweep, sweep
from .stopping import Stopping, stopping, undiscounted


# An evaluation that is not near its end after so many sweeps is finished by a linear solve, which
# costs about as much for a thousand states; without one it goes on in the next iteration.
_SWEEPS = 100
_LARGEST_SOLVE = 5000


@in_float64
def modified_policy_iteration(
    mdp: AbstractMDP, *, tolerance: float = 1e-6, max_iterations: int = 10_000
) -> Solution:
    r"""$V \leftarrow B_\pi^m V$ for the policy that is greedy for $V$.

    Puterman and Shin (1978); Puterman (1994), section 6.5. Evaluation stops when its own bounds
    are closer than a hundredth of what the last sweep over all actions left open. After 100 sweeps
    a dense problem of up to 5,000 states solves for $V^\pi$ instead, as policy iteration would.
    Where no state is terminal every sweep is shifted to the middle of MacQueen's bounds. Runs
    under `jit` and `vmap`.

    **Arguments:** `tolerance`: the bound on the error of the values, in reward units.
    **Returns:** the solution; `iterations` are improvements of the policy.
    **Raises:** `ValueError` as `value_iteration`.
    """
    return _iterate(undiscounted(mdp), stopping(mdp, tolerance, max_iterations))


@jax.jit
def _iterate(mdp: AbstractMDP, stopping: Stopping) -> Solution:
    def again(carry):
        last, iterations = carry
        close = jnp.maximum(stopping.left(last) / 100, stopping.goal / 2)
        return sweep(mdp, _evaluate(mdp, last, stopping, close), stopping.discount), iterations + 1

    # Greedy for V = 0 is greedy for the rewards alone: no sum over successors is needed.
    best = jnp.max(mdp.reward, axis=1)
    start = Sweep(best, jnp.argmax(mdp.reward, axis=1), jnp.min(best), jnp.max(best))
    carry = start, jnp.asarray(1)
    last, iterations = lax.while_loop(lambda carry: stopping.goes_on(*carry), again, carry)
    return stopping.solution(mdp, last, iterations)


def _evaluate(
    mdp: AbstractMDP, last: Sweep, stopping: Stopping, close: Float[Array, ""]
) -> Float[Array, " states"]:
    """Sweep with the last sweep's policy until its bounds are within `close`."""
    chain = chain_of(mdp, last.policy)
    # Through terminal states, which are worth 0 whatever is done, nothing may be shifted.
    shifting = ~jnp.any(mdp.terminal)

    def backup(values):
        new = chain.reward + stopping.discount * chain.expected(values)
        change = new - values
        moved = Sweep(new, last.policy, jnp.min(change), jnp.max(change))
        shift = jnp.where(shifting, stopping.shift(moved), 0)
        return new + shift, stopping.left(moved)

    def wanted(carry):
        _, left, count = carry
        return (left > close) & (count < _SWEEPS)

    def again(carry):
        values, _, count = carry
        return *backup(values), count + 1

    first = *backup(last.values), 1
    values, left, _ = lax.while_loop(wanted, again, first)
    if isinstance(chain, DenseChain) and mdp.num_states <= _LARGEST_SOLVE and stopping.discounted:
        solve = lambda: jnp.linalg.solve(
            jnp.eye(mdp.num_states) - stopping.discount * chain.dynamics, chain.reward
        )
        return lax.cond(left > close, solve, lambda: values)
    return values
