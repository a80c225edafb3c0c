r"""Finite Markov decision processes $(S, A, P, r, \mu_0, \gamma)$ with known dynamics.

Tables are dense float64 NumPy arrays. A terminal state is absorbing and pays nothing: an episode
has ended there, and its rows hold a self-loop so that $P$ stays stochastic.
"""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .precision import AnyArray, in_float64


class TabularMDP(eqx.Module):
    r"""A finite MDP; build it with `tabular_mdp`, which checks the tables.

    `transition`: $P(s' \mid s, a)$. `reward`: the mean $r(s, a)$. `initial`: $\mu_0$.
    `terminal`: absorbing states that pay nothing. `successor_reward`: $r(s, a, s')$ where the
    reward depends on the successor, else None. `discount`: γ in [0, 1].
    """

    transition: Float[AnyArray, "states actions states"]
    reward: Float[AnyArray, "states actions"]
    initial: Float[AnyArray, " states"]
    terminal: Bool[AnyArray, " states"]
    successor_reward: Float[AnyArray, "states actions states"] | None = None
    discount: float = eqx.field(static=True, kw_only=True)

    def __check_init__(self):
        if not 0 <= self.discount <= 1:
            raise ValueError(f"`discount` must lie in [0, 1]; got {self.discount}.")

    @property
    def num_states(self) -> int:
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]


def tabular_mdp(
    transition: ArrayLike,
    reward: ArrayLike,
    initial: ArrayLike,
    *,
    discount: float,
    terminal: ArrayLike | None = None,
) -> TabularMDP:
    r"""Check the tables of an MDP and put them together.

    Puterman (1994), section 2.1. Rows that sum to 1 within 1e-6 are normalised in float64.

    **Arguments:** `transition`: $P(s' \mid s, a)$, `[S, A, S]`. `reward`: $r(s, a)$ `[S, A]` or
    $r(s, a, s')$ `[S, A, S]`. `initial`: $\mu_0$, `[S]`. `terminal`: booleans `[S]`; what stands
    in the rows of a terminal state is replaced by a self-loop without reward. None finds the
    states that already are such.
    **Raises:** `ValueError` for wrong shapes, rows that are no distribution, values that are not
    finite, and a `discount` outside [0, 1]; it names the state and the action.
    """
    p, r, start = (np.array(x, dtype=np.float64) for x in (transition, reward, initial))
    _check_shapes(p, r, start)
    if terminal is None:
        absorbing = np.einsum("sas->sa", p).min(axis=1) == 1
        terminal = absorbing & np.all(r == 0, axis=tuple(range(1, r.ndim)))
    ends = np.asarray(terminal)
    if ends.shape != start.shape or ends.dtype != bool:
        raise ValueError(
            f"`terminal` must hold {start.size} booleans, one a state; "
            f"got shape {ends.shape} of {ends.dtype}."
        )
    p[ends] = np.eye(start.size)[ends][:, None, :]
    r[ends] = 0
    _check_finite(r)
    p, start = _normalised(p, "transition"), _normalised(start, "initial")
    if r.ndim == 2:
        return TabularMDP(p, r, start, ends, discount=discount)
    return TabularMDP(p, np.einsum("sat,sat->sa", p, r), start, ends, r, discount=discount)


def _check_shapes(transition: np.ndarray, reward: np.ndarray, initial: np.ndarray) -> None:
    shape = transition.shape
    if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
        raise ValueError(f"`transition` must have shape [states, actions, states]; got {shape}.")
    if reward.shape not in (shape[:2], shape):
        raise ValueError(f"`reward` must have shape {shape[:2]} or {shape}; got {reward.shape}.")
    if initial.shape != shape[:1]:
        raise ValueError(f"`initial` must have shape {shape[:1]}; got {initial.shape}.")


def _place(index: tuple) -> str:
    names = ("state", "action", "successor")
    return ", ".join(f"{name} {int(i)}" for name, i in zip(names, index, strict=False))


def _normalised(table: np.ndarray, name: str) -> np.ndarray:
    wrong = np.argwhere(~(table >= 0) | ~np.isfinite(table))
    if len(wrong):
        where = tuple(wrong[0])
        raise ValueError(
            f"`{name}` at {_place(where)} is {table[where]}; a probability lies in [0, 1]."
        )
    total = table.sum(axis=-1)
    wrong = np.argwhere(np.abs(total - 1) > 1e-6)
    if len(wrong):
        where = tuple(wrong[0])
        row = f" at {_place(where)}" if where else ""
        raise ValueError(f"`{name}`{row} sums to {total[where]}; it must sum to 1.")
    return table / total[..., None]


def _check_finite(reward: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(reward))
    if len(wrong):
        where = tuple(wrong[0])
        raise ValueError(f"`reward` at {_place(where)} is {reward[where]}; it must be finite.")


def garnet(
    *,
    num_states: int,
    num_actions: int,
    discount: float,
    branching: int | None = None,
    num_terminal: int = 0,
    key: PRNGKeyArray,
) -> TabularMDP:
    """A random MDP: rows uniform on the simplex, as is μ₀, and standard normal rewards.

    Archibald, McKinnon and Thomas (1995). `branching` successors for each state and action, all
    states if None. The last `num_terminal` states are terminal and never initial.

    **Raises:** `ValueError` for counts out of range.
    """
    branching = num_states if branching is None else branching
    if not 1 <= branching <= num_states:
        raise ValueError(f"`branching` must lie in 1..{num_states}; got {branching}.")
    if not 0 <= num_terminal < num_states:
        raise ValueError(f"`num_terminal` must lie in 0..{num_states - 1}; got {num_terminal}.")
    arrays = _random_tables(num_states, num_actions, branching, num_states - num_terminal, key)
    terminal = np.arange(num_states) >= num_states - num_terminal
    return tabular_mdp(*arrays, discount=discount, terminal=terminal)


@in_float64
def _random_tables(states: int, actions: int, branching: int, live: int, key: PRNGKeyArray):
    row_key, order_key, reward_key, initial_key = jr.split(key, 4)
    # Normalised exponentials are uniform on the simplex, and compile faster than `dirichlet`.
    rows = jr.exponential(row_key, (states, actions, branching))
    rows = jnp.pad(rows / rows.sum(-1, keepdims=True), ((0, 0), (0, 0), (0, states - branching)))
    transition = jr.permutation(order_key, rows, axis=-1, independent=True)
    reward = jr.normal(reward_key, (states, actions))
    initial = jr.exponential(initial_key, (live,))
    return transition, reward, jnp.pad(initial / initial.sum(), (0, states - live))


def check_policy_ends(mdp: TabularMDP, policy: Float[AnyArray, "states actions"]) -> None:
    """Refuse an undiscounted problem in which some state can never reach a terminal one.

    Traced policies pass unchecked: their probabilities are not known yet.

    **Raises:** `ValueError` naming such a state, if `mdp.discount` is 1.
    """
    if mdp.discount < 1 or isinstance(policy, Tracer):
        return
    reaches = np.einsum("sa,sat->st", np.asarray(policy), np.asarray(mdp.transition)) > 0
    ends = np.asarray(mdp.terminal)
    for _ in range(mdp.num_states):
        ends = ends | (reaches @ ends)
    if not ends.all():
        raise ValueError(
            f"`discount` is 1 and the policy never ends from state {int(np.argmin(ends))}: "
            "its return is infinite or undefined. Use a discount below 1 or a finite horizon."
        )
