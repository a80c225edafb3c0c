r"""Value iteration: $V \leftarrow BV$ until the bounds on $V^*$ are close enough."""

import jax
import jax.lax as lax
import jax.numpy as jnp

from ..mdp import AbstractMDP
from ..precision import in_float64
from .solution import Solution, sweep
from .stopping import Stopping, stopping, undiscounted


@in_float64
def value_iteration(
    mdp: AbstractMDP, *, tolerance: float = 1e-6, max_iterations: int = 1_000_000
) -> Solution:
    r"""Bellman (1957); Puterman (1994), section 6.3, stopped by MacQueen's bounds.

    The error falls by γ a sweep at worst. At γ = 1 it stops when a sweep changes no value by more
    than the tolerance, which bounds nothing. Runs under `jit` and `vmap`.

    **Arguments:** `tolerance`: the bound on the error of the values, in reward units.
    **Returns:** the solution; `iterations` are sweeps.
    **Raises:** `ValueError` for a tolerance that float64 cannot certify, and at γ = 1 where some
    state cannot reach a terminal one.
    """
    return _iterate(undiscounted(mdp), stopping(mdp, tolerance, max_iterations))


@jax.jit
def _iterate(mdp: AbstractMDP, stopping: Stopping) -> Solution:
    def again(carry):
        last, iterations = carry
        return sweep(mdp, last.values, stopping.discount), iterations + 1

    first = sweep(mdp, jnp.zeros(mdp.num_states), stopping.discount), jnp.asarray(1)
    last, iterations = lax.while_loop(lambda carry: stopping.goes_on(*carry), again, first)
    return stopping.solution(mdp, last, iterations)
