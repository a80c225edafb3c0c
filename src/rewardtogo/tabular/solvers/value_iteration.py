r"""Value iteration: $V \leftarrow BV$ until the bounds on $V^*$ are close enough."""

import functools as ft

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..mdp import AbstractMDP
from ..precision import in_float64
from ..solution import Solution, solution, sweep
from .options import check, outcomes, undiscounted


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
    check(mdp, tolerance, max_iterations)
    return _iterate(
        undiscounted(mdp),
        jnp.asarray(mdp.discount, jnp.float64),
        jnp.asarray(tolerance, jnp.float64),
        jnp.asarray(max_iterations),
        discounted=mdp.discount < 1,
    )


@ft.partial(jax.jit, static_argnames="discounted")
def _iterate(
    mdp: AbstractMDP,
    discount: Float[Array, ""],
    tolerance: Float[Array, ""],
    limit: Int[Array, ""],
    *,
    discounted: bool,
) -> Solution:
    def wanted(carry):
        last, iterations = carry
        return (last.criterion(discount, discounted) > goal) & (iterations < limit)

    def again(carry):
        last, iterations = carry
        return sweep(mdp, last.values, discount), iterations + 1

    # Half is left to what rounding adds to the bound.
    goal = tolerance / 2
    first = sweep(mdp, jnp.zeros(mdp.num_states), discount), jnp.asarray(1)
    last, iterations = lax.while_loop(wanted, again, first)
    return solution(
        mdp,
        last,
        discount,
        discounted=discounted,
        outcomes=outcomes(mdp),
        tolerance=tolerance,
        iterations=iterations,
    )
