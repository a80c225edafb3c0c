r"""Estimates of $Q(s, a)$ that single steps move: what every method of control learns with."""

import abc
from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from ..steps.step_sizes import AbstractStepSize


Observed = Shaped[Array, "..."]
"""The number of a state, or what is observed of it."""


class AbstractQFunction(eqx.Module):
    """Q as something that can be asked and moved."""

    @abc.abstractmethod
    def at(self, state: Observed) -> Float[Array, " actions"]:
        r"""$Q(s, \cdot)$."""

    @abc.abstractmethod
    def moved(
        self,
        state: Observed,
        action: Int[Array, ""],
        target: Float[Array, ""],
        step_size: AbstractStepSize,
    ) -> Any:
        r"""$Q(s, a)$ moved toward `target` by $\alpha_n$, and the update counted."""


class ActionValueTable(AbstractQFunction):
    r"""A number for each pair: $Q(s,a) \leftarrow Q(s,a) + \alpha_n (y - Q(s,a))$.

    n counts the updates of that pair. `tables` is no axis, or 2 for double Q-learning.
    """

    q: Float[Array, "*tables states actions"]
    visits: Float[Array, "*tables states actions"]

    def at(self, state: Observed) -> Float[Array, " actions"]:
        return self.q[state]

    def moved(
        self,
        state: Observed,
        action: Int[Array, ""],
        target: Float[Array, ""],
        step_size: AbstractStepSize,
    ) -> "ActionValueTable":
        return self.written((state, action), target, step_size)

    def written(
        self,
        place: tuple[Shaped[Array, ""], ...],
        target: Float[Array, ""],
        step_size: AbstractStepSize,
    ) -> "ActionValueTable":
        """The entry at `place`, of one of several tables where there are, moved to the target."""
        visits = self.visits[place] + 1
        moved = self.q[place] + step_size(visits) * (target - self.q[place])
        # Else XLA computes one write from the other's table, and copies that at every step.
        moved, visits = lax.optimization_barrier((moved, visits))
        return ActionValueTable(self.q.at[place].set(moved), self.visits.at[place].set(visits))


def untouched_table(q: Float[Array, "states actions"]) -> ActionValueTable:
    """These action values, with no update of any."""
    return ActionValueTable(q, jnp.zeros_like(q))
