r"""MDPs kept as lists of outcomes: for large state spaces in which a step leads to few places."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from ..types import AnyArray
from .checks import aligned, as_floats, normalised, place, require_finite, terminal_flags
from .mdp import AbstractMDP, TabularMDP, check_discount, draw_index, tabular_mdp
from .precision import in_float64


Outcome = tuple[float | int, int, float | int, bool]
Outcomes = Sequence[Sequence[Sequence[Outcome]]] | Mapping[int, Mapping[int, Sequence[Outcome]]]


class SuccessorMDP(AbstractMDP):
    r"""A finite MDP with K outcomes for each state and action; build it with `successor_mdp`.

    Outcome k of (s, a) has `probability[a, k, s]`, leads to `successor[a, k, s]` and pays
    `outcome_reward[a, k, s]`, or `reward[s, a]` whatever the outcome where that is None. States
    come last, so that a sweep reads memory in order. Entries not needed have probability 0.
    """

    successor: Int[AnyArray, "actions outcomes states"]
    probability: Float[AnyArray, "actions outcomes states"]
    reward: Float[AnyArray, "states actions"]
    initial: Float[AnyArray, " states"]
    terminal: Bool[AnyArray, " states"]
    outcome_reward: Float[AnyArray, "actions outcomes states"] | None = None
    discount: float = eqx.field(static=True, kw_only=True)

    def __check_init__(self):
        check_discount(self.discount)

    @property
    def num_states(self) -> int:
        return self.successor.shape[2]

    @property
    def num_actions(self) -> int:
        return self.successor.shape[0]

    @in_float64
    def expected(self, values: Float[AnyArray, " states"]) -> Float[AnyArray, "states actions"]:
        successor_values = jnp.asarray(values)[self.successor]
        return jnp.sum(self.probability * successor_values, axis=1).T

    @in_float64
    def policy_matrix(
        self, policy: Float[AnyArray, "states actions"]
    ) -> Float[AnyArray, "states states"]:
        weight = jnp.asarray(policy).T[:, None, :] * self.probability
        states = jnp.broadcast_to(jnp.arange(self.num_states), weight.shape)
        matrix = jnp.zeros((self.num_states, self.num_states), weight.dtype)
        return matrix.at[states, self.successor].add(weight)

    @in_float64
    def reward_variance(self) -> Float[AnyArray, "states actions"]:
        if self.outcome_reward is None:
            return jnp.zeros_like(self.reward)
        deviation = self.outcome_reward - jnp.asarray(self.reward).T[:, None, :]
        return jnp.sum(self.probability * deviation**2, axis=1).T

    def draw(
        self, state: Int[Array, ""], action: Int[Array, ""], *, key: PRNGKeyArray
    ) -> tuple[Int[Array, ""], Float[Array, ""]]:
        outcome = draw_index(jnp.asarray(self.probability)[action, :, state], key=key)
        successor = jnp.asarray(self.successor)[action, outcome, state]
        if self.outcome_reward is None:
            return successor, jnp.asarray(self.reward)[state, action]
        return successor, jnp.asarray(self.outcome_reward)[action, outcome, state]


def successor_mdp(
    successor: ArrayLike,
    probability: ArrayLike,
    reward: ArrayLike,
    initial: ArrayLike,
    *,
    discount: float,
    terminal: ArrayLike | None = None,
) -> SuccessorMDP:
    r"""Check lists of outcomes and put them together.

    **Arguments:** `successor`: the state that outcome k of (s, a) leads to, whole numbers
    `[S, A, K]`. `probability`: of that outcome, `[S, A, K]`; lists shorter than K end with
    probability 0. `reward`: of each (s, a) `[S, A]`, or of each outcome `[S, A, K]`. `initial`:
    $\mu_0$, `[S]`. `terminal`: booleans `[S]`, whose outcomes are replaced by a self-loop without
    reward; None finds the states that already are such.
    **Raises:** `ValueError` as `tabular_mdp`, and for a successor that is not one of the states.
    """
    check_discount(discount)
    to = np.asarray(successor)
    p, r, start = (
        as_floats(name, x)
        for name, x in (("probability", probability), ("reward", reward), ("initial", initial))
    )
    _check_shapes(to, p, r, start)
    own = np.arange(start.size)[:, None, None]
    if terminal is None:
        stays = np.all((to == own) | (p == 0), axis=(1, 2))
        terminal = stays & np.all(r == 0, axis=tuple(range(1, r.ndim)))
    ends = terminal_flags(terminal, start.size)
    to = np.where(ends[:, None, None], own, to)
    p[ends] = np.arange(p.shape[2]) == 0
    r[ends] = 0
    require_finite(r)
    p, start = normalised(p, "probability"), normalised(start, "initial")
    states_last = lambda x, dtype: aligned(np.moveaxis(x, 0, 2), dtype)
    lists = states_last(to, np.int32), states_last(p, np.float64)
    if r.ndim == 2:
        return SuccessorMDP(*lists, r, start, ends, discount=discount)
    mean = aligned(np.sum(p * r, axis=2), np.float64)
    return SuccessorMDP(*lists, mean, start, ends, states_last(r, np.float64), discount=discount)


def _check_shapes(
    successor: np.ndarray, probability: np.ndarray, reward: np.ndarray, initial: np.ndarray
) -> None:
    shape = successor.shape
    if len(shape) != 3 or 0 in shape or successor.dtype.kind not in "iu":
        raise ValueError(
            "`successor` must hold whole numbers, [states, actions, outcomes]; "
            f"got shape {shape} of {successor.dtype}."
        )
    if probability.shape != shape:
        raise ValueError(f"`probability` must have shape {shape}; got {probability.shape}.")
    if reward.shape not in (shape[:2], shape):
        raise ValueError(f"`reward` must have shape {shape[:2]} or {shape}; got {reward.shape}.")
    if initial.shape != shape[:1]:
        raise ValueError(f"`initial` must have shape {shape[:1]}; got {initial.shape}.")
    if successor.min() < 0 or successor.max() >= shape[0]:
        where = np.argwhere((successor < 0) | (successor >= shape[0]))[0]
        raise ValueError(
            f"`successor` at {place(where[:2])} is {successor[tuple(where)]}; "
            f"states are 0..{shape[0] - 1}."
        )


def mdp_from_outcomes(outcomes: Outcomes, initial: ArrayLike, *, discount: float) -> SuccessorMDP:
    """Build an MDP from a transition table in the form of Gymnasium's toy-text environments.

    `outcomes[s][a]` is a list of `(probability, successor, reward, terminated)`. A state that is
    entered with `terminated` is terminal; one that is entered both with and without it stays as it
    is, and such episodes end in a terminal state of their own, the last.

    **Raises:** `ValueError` for a table that is empty or ragged, and as `successor_mdp`.
    """
    states = len(outcomes)
    actions = len(outcomes[0]) if states else 0
    lists = [[list(outcomes[s][a]) for a in range(len(outcomes[s]))] for s in range(states)]
    _check_lists(lists, actions)
    depth = max(len(of_action) for of_state in lists for of_action in of_state)
    to = np.zeros((states, actions, depth), np.int64)
    p, r, ended = np.zeros(to.shape), np.zeros(to.shape), np.zeros(to.shape, bool)
    for s, a in np.ndindex(states, actions):
        for k, outcome in enumerate(lists[s][a]):
            p[s, a, k], to[s, a, k], r[s, a, k], ended[s, a, k] = _outcome(outcome, s, a)
    _require_states(to, states)
    to, p, r, start, terminal = _route_endings(to, p, r, ended, np.asarray(initial, np.float64))
    return successor_mdp(to, p, r, start, discount=discount, terminal=terminal)


def _check_lists(lists: list[list[list[Any]]], actions: int) -> None:
    if not lists or not actions:
        raise ValueError("`outcomes` is empty: an MDP has at least one state and one action.")
    for s, of_state in enumerate(lists):
        if len(of_state) != actions:
            raise ValueError(
                f"`outcomes` has {len(of_state)} actions at state {s} and {actions} at state 0; "
                "every state must have the same."
            )
        for a, of_action in enumerate(of_state):
            if not of_action:
                raise ValueError(f"`outcomes` at {place((s, a))} is empty.")


def _outcome(outcome: Sequence[Any], s: int, a: int) -> tuple[float, int, float, bool]:
    try:
        probability, successor, reward, terminated = outcome
        if int(successor) != successor:
            raise ValueError
        return float(probability), int(successor), float(reward), bool(terminated)
    except (TypeError, ValueError):
        raise ValueError(
            f"`outcomes` at {place((s, a))} holds {outcome!r}; an outcome is "
            "(probability, successor, reward, terminated)."
        ) from None


def _require_states(to: np.ndarray, states: int) -> None:
    wrong = np.argwhere((to < 0) | (to >= states))
    if len(wrong):
        raise ValueError(
            f"`outcomes` at {place(wrong[0][:2])} leads to {to[tuple(wrong[0])]}; "
            f"states are 0..{states - 1}."
        )


def _route_endings(
    to: np.ndarray, p: np.ndarray, r: np.ndarray, ended: np.ndarray, initial: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lists, μ₀ and the terminal states, with one state more where it is needed."""
    states = len(to)
    own = np.arange(states)[:, None, None]
    possible = p > 0
    terminal = np.zeros(states, bool)
    terminal[to[ended & possible]] = True
    # What a table says of a state in which the episode has ended is never used.
    alive = possible & (to != own) & ~terminal[:, None, None]
    entered = np.zeros(states, bool)
    entered[to[alive & ~ended]] = True
    both = terminal & (entered | (initial > 0) if initial.shape == (states,) else entered)
    if not both.any():
        return to, p, r, initial, terminal
    to = np.where(ended & both[to], states, to)
    add = lambda x, value: np.concatenate([x, np.full_like(x[:1], value)])
    to, p, r = add(to, states), add(p, 0), add(r, 0)
    p[states, :, 0] = 1
    return to, p, r, np.append(initial, 0.0), np.append(terminal & ~both, True)


def dense(mdp: AbstractMDP) -> TabularMDP:
    r"""The same process with dense tables, $|S|^2 |A|$ numbers.

    Where a state and action reach one successor with different rewards, the table keeps their mean,
    and their variance as `reward_noise`.
    """
    if isinstance(mdp, TabularMDP):
        return mdp
    assert isinstance(mdp, SuccessorMDP)
    to, p = (np.moveaxis(np.asarray(x), 2, 0) for x in (mdp.successor, mdp.probability))
    states, actions, _ = to.shape
    index = (np.arange(states)[:, None, None], np.arange(actions)[None, :, None], to)
    table = np.zeros((states, actions, states))
    np.add.at(table, index, p)
    tables = {"discount": mdp.discount, "terminal": np.asarray(mdp.terminal)}
    if mdp.outcome_reward is None:
        return tabular_mdp(table, mdp.reward, mdp.initial, **tables)
    r = np.moveaxis(np.asarray(mdp.outcome_reward), 2, 0)
    mean = np.zeros_like(table)
    np.add.at(mean, index, p * r)
    mean = np.divide(mean, table, out=np.zeros_like(mean), where=table > 0)
    noise = np.sum(p * (r - mean[index]) ** 2, axis=2)
    noisy = noise if noise.max() > 1e-15 * max(1.0, float(np.abs(r).max()) ** 2) else None
    return tabular_mdp(table, mean, mdp.initial, **tables, reward_noise=noisy)
