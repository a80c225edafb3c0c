r"""Finite partially observable processes: what is the best that a memory can do?

A step from $s$ under $a$ leads to $s' \sim P(\cdot \mid s,a)$ and shows
$o \sim P(\cdot \mid s', a)$; there is no observation before the first action. The belief
$b_t(s) = P(s_t = s \mid a_0, o_1, \dots, a_{t-1}, o_t)$ is all that a history says about the
future, and $b_0 = \mu_0$.

Values are computed forward with weights $w(s) = P(o_1..o_t, s_t = s \mid a_0..a_{t-1})$, the belief
times the probability of what was seen, so that nothing is divided by zero.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from ...types import AnyArray
from ..checks import as_floats
from ..exact.distances import require_distributions
from ..mdp import TabularMDP, tabular_mdp
from ..precision import in_float64


# Entries of the widest level of an enumeration: 400 MB.
_MOST_WEIGHTS = 50_000_000

History = tuple[tuple[int, int], ...]
"""The pairs (action, observation) so far, oldest first."""

HistoryPolicy = Callable[[History], Float[AnyArray, " actions"]]
"""The probabilities of the actions after a history."""


class TabularPOMDP(eqx.Module):
    r"""An MDP whose states are hidden; build it with `tabular_pomdp`, which checks it.

    `observation`: $P(o \mid s', a)$, by the action taken and the state it led to.
    """

    mdp: TabularMDP
    observation: Float[AnyArray, "actions states observations"]

    @property
    def num_observations(self) -> int:
        """|O|."""
        return self.observation.shape[2]


def tabular_pomdp(mdp: TabularMDP, observation: ArrayLike) -> TabularPOMDP:
    r"""Check the observations of a POMDP and put it together.

    Kaelbling, Littman and Cassandra (1998), section 3.1. Rows that sum to 1 within float32's
    rounding are normalised.

    **Arguments:** `observation`: $P(o \mid s', a)$, `[A, S, O]`.
    **Raises:** `ValueError` for a wrong shape, and for a row that is no distribution; it names the
    action and the state.
    """
    table = as_floats("observation", observation)
    expected = (mdp.num_actions, mdp.num_states)
    if table.ndim != 3 or table.shape[:2] != expected or table.shape[2] == 0:
        raise ValueError(
            f"`observation` must have shape [{expected[0]} actions, {expected[1]} states, "
            f"observations]; got {table.shape}."
        )
    for action, rows in enumerate(table):
        require_distributions(f"observation[{action}]", rows)
    return TabularPOMDP(mdp, table / table.sum(-1, keepdims=True))


def tiger(*, discount: float = 0.95) -> TabularPOMDP:
    """The tiger problem: listen at two doors, or open one.

    Kaelbling, Littman and Cassandra (1998), section 5.1. States: the tiger is left, or right.
    Actions: listen (−1), open left, open right: −100 for the tiger, +10 otherwise, and the tiger is
    put behind either door anew. Observations: it is heard left, or right; right 85 times in 100
    after listening, without meaning after opening.
    """
    anew = np.full((2, 2), 0.5)
    transition = np.stack([np.eye(2), anew, anew], axis=1)
    reward = np.array([[-1.0, -100.0, 10.0], [-1.0, 10.0, -100.0]])
    mdp = tabular_mdp(transition, reward, [0.5, 0.5], discount=discount)
    return tabular_pomdp(mdp, np.stack([[[0.85, 0.15], [0.15, 0.85]], anew, anew]))


@in_float64
def joint_outcomes(
    pomdp: TabularPOMDP,
) -> Float[AnyArray, "actions observations states successors"]:
    r"""$P(s', o \mid s, a) = P(s' \mid s,a)\, P(o \mid s', a)$."""
    return jnp.einsum("sat,ato->aost", pomdp.mdp.transition, pomdp.observation)


@in_float64
def observation_probabilities(
    pomdp: TabularPOMDP, belief: Float[AnyArray, " states"], action: int
) -> Float[AnyArray, " observations"]:
    r"""$P(o \mid b, a) = \sum_s b(s) \sum_{s'} P(s' \mid s,a)\, P(o \mid s', a)$.

    **Raises:** `ValueError` for a `belief` that is no distribution and an `action` out of range.
    """
    return jnp.sum(_successor_weights(pomdp, belief, action), axis=1)


@in_float64
def belief_update(
    pomdp: TabularPOMDP, belief: Float[AnyArray, " states"], action: int, observation: int
) -> Float[AnyArray, " states"]:
    r"""Bayes' rule: $b'(s') \propto P(o \mid s', a) \sum_s b(s)\, P(s' \mid s,a)$.

    Kaelbling, Littman and Cassandra (1998), section 3.3.

    **Raises:** `ValueError` for a `belief` that is no distribution, numbers out of range, and an
    observation that cannot follow (NaN where that is traced).
    """
    _check_index("observation", observation, pomdp.num_observations)
    weights = _successor_weights(pomdp, belief, action)[observation]
    total = jnp.sum(weights)
    if not isinstance(total, Tracer) and total == 0:
        raise ValueError(
            f"`observation` {observation} has probability 0 after action {action} in this belief."
        )
    return weights / total


@in_float64
def finite_horizon_optimum(
    pomdp: TabularPOMDP, belief: Float[AnyArray, " states"], *, horizon: int
) -> Float[AnyArray, ""]:
    r"""The best expected return of `horizon` actions from `belief`, over all history policies.

    $$V_H(b) = \max_a \Big[ \sum_s b(s) r(s,a)
    + \gamma \sum_o P(o \mid b, a)\, V_{H-1}(b^{a,o}) \Big], \qquad V_0 = 0$$

    Kaelbling, Littman and Cassandra (1998), section 3.4. Enumerates all $(|A||O|)^{H-1}$ beliefs.

    **Raises:** `ValueError` for a `belief` that is no distribution, and for a `horizon` below 1 or
    too long to enumerate.
    """
    require_distributions("belief", belief)
    _check_horizon(pomdp, horizon)
    levels, outcomes = [jnp.asarray(belief)[None, :]], joint_outcomes(pomdp)
    for _ in range(horizon - 1):
        levels.append(_next_level(levels[-1], outcomes))
    later = jnp.zeros(len(levels[-1]) * outcomes.shape[0] * outcomes.shape[1])
    for weights in reversed(levels):
        successors = later.reshape(len(weights), *outcomes.shape[:2])
        returns = weights @ pomdp.mdp.reward + pomdp.mdp.discount * successors.sum(axis=2)
        later = returns.max(axis=1)
    return later[0]


@in_float64
def history_policy_value(
    pomdp: TabularPOMDP, policy: HistoryPolicy, *, horizon: int
) -> Float[AnyArray, ""]:
    r"""The expected return of `horizon` actions from $\mu_0$ of a policy with a memory.

    $$J_H = \sum_{t<H} \gamma^t \sum_{h_t} \sum_{s,a} P(h_t, s_t = s)\, \pi(a \mid h_t)\, r(s,a)$$

    Kaelbling, Littman and Cassandra (1998), section 3.4. By enumeration: `policy` is asked once for
    every history, possible or not. Differentiable in what it answers and in the tables.

    **Arguments:** `policy`: from the pairs (action, observation) so far to probabilities `[A]`;
    from () at first.
    **Raises:** `ValueError` if it answers with what is no distribution, naming the history, and for
    a `horizon` below 1 or too long to enumerate.
    """
    _check_horizon(pomdp, horizon)
    outcomes, discount = joint_outcomes(pomdp), pomdp.mdp.discount
    moves = list(np.ndindex(*outcomes.shape[:2]))
    histories: list[History] = [()]
    weights, total = jnp.asarray(pomdp.mdp.initial)[None, :], jnp.zeros(())
    for time in range(horizon):
        actions = jnp.stack([_answer(policy, history) for history in histories])
        total += discount**time * jnp.sum(actions * (weights @ pomdp.mdp.reward))
        if time < horizon - 1:
            weights = _next_level(weights, outcomes)
            chosen = jnp.repeat(actions.reshape(-1), outcomes.shape[1])
            weights = weights * chosen[:, None]
            histories = [(*history, move) for history in histories for move in moves]
    return total


def _answer(policy: HistoryPolicy, history: History) -> Array:
    probabilities = jnp.asarray(policy(history), jnp.float64)
    require_distributions(f"policy({history})", probabilities)
    return probabilities


def _next_level(weights: AnyArray, outcomes: AnyArray) -> Array:
    """Weights after every action and observation: histories, then actions, then observations."""
    return jnp.einsum("ns,aost->naot", weights, outcomes).reshape(-1, weights.shape[1])


def _successor_weights(pomdp: TabularPOMDP, belief: AnyArray, action: int) -> Array:
    require_distributions("belief", belief)
    _check_index("action", action, pomdp.mdp.num_actions)
    reached = jnp.asarray(belief) @ jnp.asarray(pomdp.mdp.transition)[:, action, :]
    return (reached[:, None] * jnp.asarray(pomdp.observation)[action]).T


def _check_index(name: str, index: int, size: int) -> None:
    if not isinstance(index, Tracer) and not 0 <= index < size:
        raise ValueError(f"`{name}` must lie in 0..{size - 1}; got {index}.")


def _check_horizon(pomdp: TabularPOMDP, horizon: int) -> None:
    if horizon < 1:
        raise ValueError(f"`horizon` must be at least 1; got {horizon}.")
    branching = pomdp.mdp.num_actions * pomdp.num_observations
    if branching ** (horizon - 1) * pomdp.mdp.num_states > _MOST_WEIGHTS:
        raise ValueError(
            f"`horizon` {horizon} has {branching}^{horizon - 1} histories of {branching} moves, "
            "too many to enumerate. Use `belief_search.solve_pomdp`."
        )
