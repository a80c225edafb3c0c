r"""Gauss–Seidel sweeps, backwards from the rewards, for MDPs kept as lists of outcomes."""

from typing import NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ...types import Scalar
from ..mdp import AbstractMDP
from ..precision import in_float64
from ..successors import SuccessorMDP
from .ordering import Blocks, blocks
from .solution import Solution, sweep
from .stopping import Stopping, stopping, undiscounted


# After a sweep over all actions, sweeps with the actions it chose go on until a sweep changes ten
# times less, but ten at most: the policy far from the rewards is not yet worth more.
_SWEEPS, _DECAY = 10, 10


@in_float64
def gauss_seidel(
    mdp: SuccessorMDP, *, tolerance: float = 1e-6, max_iterations: int = 10_000
) -> Solution:
    r"""Modified policy iteration whose evaluation sweeps use new values at once.

    Puterman (1994), sections 6.3.3 and 6.5; the order is that of `ordering`. An iteration is one
    sweep over all actions and up to ten with the actions it chose. When it changes little, a sweep
    over all states at once bounds the error. Laying out the lists takes NumPy, so this does not
    run under `jit`.

    **Arguments:** `tolerance`: the bound on the error of the values, in reward units.
    **Returns:** the solution; `iterations` are sweeps over all actions.
    **Raises:** `ValueError` as `value_iteration`.
    """
    layout = jax.tree.map(jnp.asarray, blocks(mdp))
    return _iterate(undiscounted(mdp), layout, stopping(mdp, tolerance, max_iterations))


@jax.jit
def _iterate(mdp: AbstractMDP, layout: Blocks, stopping: Stopping) -> Solution:
    close = stopping.goal / stopping.scale

    def look(values):
        last = sweep(mdp, values[layout.place_of], stopping.discount)
        return last, last.values[layout.state_at]

    def again(carry):
        values, last, iterations = carry
        improved, action = _improve(layout, values, stopping.discount)
        change = jnp.max(jnp.abs(improved - values))
        least = jnp.maximum(change / _DECAY, close)
        values = _evaluate(_taken(layout, action), improved, stopping.discount, least)
        # A sweep over all states at once tells how far it is.
        last, values = lax.cond(change <= close, look, lambda v: (last, v), values)
        return values, last, iterations + 1

    zero = jnp.zeros(layout.state_at.shape)
    start = zero, sweep(mdp, zero[layout.place_of], stopping.discount), jnp.asarray(0)
    _, last, iterations = lax.while_loop(lambda carry: stopping.goes_on(*carry[1:]), again, start)
    return stopping.solution(mdp, last, iterations)


class _Chain(NamedTuple):
    """The lists of the actions taken, in blocks."""

    successor: Int[Array, "blocks outcomes width"]
    probability: Float[Array, "blocks outcomes width"]
    reward: Float[Array, "blocks width"]


def _taken(layout: Blocks, action: Int[Array, "blocks width"]) -> _Chain:
    of_action = lambda table: jnp.take_along_axis(table, action[:, None, None, :], axis=1)[:, 0]
    reward = jnp.take_along_axis(jnp.asarray(layout.reward), action[:, None, :], axis=1)[:, 0]
    return _Chain(of_action(layout.successor), of_action(layout.probability), reward)


def _improve(
    layout: Blocks, values: Float[Array, " places"], discount: Scalar
) -> tuple[Float[Array, " places"], Int[Array, "blocks width"]]:
    """One Gauss–Seidel sweep over all actions, and those that were best."""

    def block(n, carry):
        values, action = carry
        expected = jnp.sum(layout.probability[n] * values[layout.successor[n]], axis=1)
        q = layout.reward[n] + discount * expected
        values = lax.dynamic_update_slice(values, jnp.max(q, axis=0), (n * q.shape[1],))
        return values, action.at[n].set(jnp.argmax(q, axis=0).astype(action.dtype))

    num_blocks, _, width = layout.reward.shape
    start = values, jnp.zeros((num_blocks, width), jnp.int32)
    return lax.fori_loop(0, num_blocks, block, start)


def _evaluate(
    chain: _Chain,
    values: Float[Array, " places"],
    discount: Scalar,
    close: Float[Array, ""],
) -> Float[Array, " places"]:
    """Gauss–Seidel sweeps with the actions taken, until one changes no more than `close`."""

    def block(n, values):
        expected = jnp.sum(chain.probability[n] * values[chain.successor[n]], axis=0)
        new = chain.reward[n] + discount * expected
        return lax.dynamic_update_slice(values, new, (n * new.size,))

    def wanted(carry):
        _, change, count = carry
        return (change > close) & (count < _SWEEPS)

    def again(carry):
        values, _, count = carry
        new = lax.fori_loop(0, chain.reward.shape[0], block, values)
        return new, jnp.max(jnp.abs(new - values)), count + 1

    return lax.while_loop(wanted, again, (values, jnp.inf, 0))[0]
