r"""What learned action values are held against: $Q^*$, and exact values of greedy policies."""

import dataclasses
import math

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...tabular.exact.evaluation import lookahead
from ...tabular.mdp import AbstractMDP, TabularMDP
from ...tabular.precision import in_float64
from ...tabular.solvers.solve import solve
from ...tabular.solvers.sparsity import to_lists
from ...tabular.solvers.stopping import finest
from ...tabular.successors import SuccessorMDP
from ...types import AnyArray


_TOLERANCE = 1e-10  # of the largest value


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlOptimum:
    r"""`action_values`: $Q^*$. `optimum`: $\sum_s \mu_0(s) V^*(s)$.

    `reachable`: the states that are not terminal and that some policy comes to from $\mu_0$.
    """

    action_values: Float[np.ndarray, "states actions"]
    optimum: float
    reachable: Bool[np.ndarray, " states"]


def control_optimum(mdp: AbstractMDP) -> ControlOptimum:
    """Solve the MDP; errors are those of `solve`."""
    found = solve(mdp, tolerance=max(1e-8, 4 * finest(mdp)))
    return ControlOptimum(
        action_values=np.asarray(lookahead(mdp, found.values)),
        optimum=float(np.asarray(mdp.initial) @ found.values),
        reachable=_reachable(as_lists(mdp)),
    )


def as_lists(mdp: AbstractMDP) -> SuccessorMDP:
    """The MDP with its outcomes as lists."""
    return to_lists(mdp) if isinstance(mdp, TabularMDP) else mdp  # pyright: ignore[reportReturnType]


def _reachable(lists: SuccessorMDP) -> Bool[np.ndarray, " states"]:
    going, probability = ~np.asarray(lists.terminal), np.asarray(lists.probability)
    reached = frontier = np.asarray(lists.initial) > 0
    while frontier.any():
        at = np.flatnonzero(frontier & going)
        to = np.asarray(lists.successor)[:, :, at][probability[:, :, at] > 0]
        seen = np.zeros_like(reached)
        seen[to] = True
        frontier = seen & ~reached
        reached = reached | seen
    return reached & going


def greedy_returns(
    mdp: AbstractMDP, policies: Int[np.ndarray, "policies states"], *, limit: int
) -> Float[np.ndarray, " policies"]:
    r"""$\sum_s \mu_0(s) V^\pi(s)$ of deterministic policies, in float64.

    By the backup $V \leftarrow r^\pi + \gamma P^\pi V$ from 0, which is a contraction, until the
    error is below $10^{-10}$ of the largest value. At γ = 1, where a policy may never end, the
    value of `limit` steps.
    """
    different, back = np.unique(policies, axis=0, return_inverse=True)
    lists = as_lists(mdp)
    rest = (lists.successor, lists.reward, lists.initial, lists.terminal)
    discount = float(mdp.discount)
    most = limit if discount == 1 else _backups(discount)
    found = _returns(different, lists.probability, *rest, discount, most)
    return np.asarray(found)[back.reshape(-1)]


def _backups(discount: float) -> int:
    """After so many the error is below the tolerance, however slowly the values come in."""
    return 1 if discount == 0 else 1 + math.ceil(math.log(_TOLERANCE) / math.log(discount))


@in_float64
def _returns(
    policies: Int[AnyArray, "policies states"],
    probability: Float[AnyArray, "actions outcomes states"],
    successor: Int[AnyArray, "actions outcomes states"],
    reward: Float[AnyArray, "states actions"],
    initial: Float[AnyArray, " states"],
    terminal: Bool[AnyArray, " states"],
    discount: float,
    most: int,
) -> Float[AnyArray, " policies"]:
    tables = (probability, successor, reward, initial, terminal)
    return _mapped(policies, *tables, discount, most)


@jax.jit
def _mapped(policies, probability, successor, reward, initial, terminal, discount, most):
    states = jnp.arange(len(initial))

    def value(policy: Int[Array, " states"]) -> Float[Array, ""]:
        here = jnp.where(terminal, 0, reward[states, policy])
        chance = jnp.where(terminal[:, None], 0, probability[policy, :, states])
        to = successor[policy, :, states]

        def unfinished(carry):
            values, change, steps = carry
            return (steps < most) & (
                change > _TOLERANCE * (1 - discount) * jnp.max(jnp.abs(values))
            )

        def backup(carry):
            values, _, steps = carry
            new = here + discount * jnp.sum(chance * values[to], axis=1)
            return new, jnp.max(jnp.abs(new - values)), steps + 1

        start = (jnp.zeros_like(here), jnp.asarray(jnp.inf), 0)
        return initial @ lax.while_loop(unfinished, backup, start)[0]

    return lax.map(value, policies)
