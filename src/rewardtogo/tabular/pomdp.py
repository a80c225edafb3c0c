r"""Finite partially observable processes: what is the best that a memory can do?

A step from $s$ under $a$ leads to $s' \sim P(\cdot \mid s,a)$ and shows
$o \sim P(\cdot \mid s', a)$; there is no observation before the first action. The belief
$b_t(s) = P(s_t = s \mid a_0, o_1, \dots, a_{t-1}, o_t)$ is all that a history says about the
future, and $b_0 = \mu_0$.

Values are computed forward with weights $w(s) = P(o_1..o_t, s_t = s \mid a_0..a_{t-1})$, the belief
times the probability of what was seen, so that nothing is divided by zero.
"""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .checks import as_floats
from .distances import require_distributions
from .mdp import TabularMDP, tabular_mdp
from .precision import AnyArray, in_float64


# Entries of the widest level of an enumeration: 400 MB.
_MOST_WEIGHTS = 50_000_000
# Of one trial of `solve_pomdp`: new beliefs, and sweeps over all of them.
_MOST_NEW, _MOST_SWEEPS = 20, 10_000
# Rounding makes copies of one belief. Near a corner what is close in the maximum norm is not.
_ROUNDING = 1e-10
# Sweeps that change this little find nothing but rounding.
_LEAST_SHARE = 1e-7

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
            "too many to enumerate. Use `solve_pomdp`."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeliefSolution:
    r"""The optimal value at one belief, between two bounds, and a policy that attains the lower.

    `vectors`: $\alpha_i$ `[V, S]` with $V^*(b) \ge \max_i \alpha_i^\top b$ for every belief;
    `actions`: the first action of each, `[V]`. Taking the action of the best vector, updating the
    belief and starting over earns at least `lower`. `converged`: whether `upper - lower` met the
    tolerance.
    """

    lower: float
    upper: float
    vectors: np.ndarray
    actions: np.ndarray
    converged: bool

    def action(self, belief: ArrayLike) -> int:
        """The action of the vector that is best at a belief."""
        return int(self.actions[np.argmax(self.vectors @ np.asarray(belief, np.float64))])


def solve_pomdp(
    pomdp: TabularPOMDP, belief: ArrayLike, *, tolerance: float = 1e-7, max_trials: int = 100
) -> BeliefSolution:
    r"""$V^*(b)$ over an endless horizon, by bounds that close in on it.

    Heuristic search value iteration; Smith and Simmons (2004), sections 3 and 4. Below, vectors
    backed up at single beliefs, from the policies that repeat one action. Above, values at beliefs
    joined by the sawtooth, from the fast informed bound (Hauskrecht 2000, section 4.4). A trial
    follows the most hopeful action and the most uncertain observation to beliefs that are new; then
    all that are known are swept, rather than the path alone, until that no longer helps. In NumPy
    and float64, for small processes; the bounds hold up to rounding.

    **Arguments:** `tolerance`: on `upper - lower`, in reward units. `max_trials`: then it stops.
    **Raises:** `ValueError` if the discount is 1, `belief` is no distribution `[S]`, or
    `tolerance` is not above 0.
    """
    start, discount = as_floats("belief", belief), pomdp.mdp.discount
    if start.shape != (pomdp.mdp.num_states,):
        raise ValueError(f"`belief` must have shape {(pomdp.mdp.num_states,)}; got {start.shape}.")
    require_distributions("belief", start)
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be above 0; got {tolerance}.")
    if discount == 1:
        raise ValueError("`solve_pomdp` needs a `discount` below 1; got 1.")
    bounds, share = _Bounds(pomdp, start), 0.1
    for _ in range(max_trials):
        bounds.sweep_until(share * (1 - discount), tolerance)
        if share < _LEAST_SHARE or bounds.gap(start[None])[0] <= tolerance:
            break
        found = _trial(bounds, start, tolerance)
        bounds.learn(found)
        # Where nothing is new the gap comes from values that are not swept well enough.
        share = 0.1 if found else 0.1 * share
    lower, upper = (float(side(start[None])[0]) for side in (bounds.lower, bounds.upper))
    return BeliefSolution(
        lower=lower,
        upper=upper,
        vectors=bounds.vectors,
        actions=bounds.actions,
        converged=upper - lower <= tolerance,
    )


def _trial(bounds: "_Bounds", start: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """New beliefs on a way that ends where the gap, discounted to the start, is small enough."""
    found, belief, allowed = [], start, tolerance
    while len(found) < _MOST_NEW and bounds.gap(belief[None])[0] > allowed:
        if not bounds.knows(belief):
            found.append(belief)
        allowed = allowed / bounds.discount if bounds.discount else math.inf
        successors = bounds.successors(belief[None])[0]
        hopes = belief @ bounds.reward + bounds.discount * bounds.upper(successors).sum(axis=1)
        weights = successors[np.argmax(hopes)]
        probabilities = weights.sum(axis=1)
        excess = np.where(probabilities > 0, bounds.gap(weights) - probabilities * allowed, -np.inf)
        chosen = np.argmax(excess)
        belief = weights[chosen] / probabilities[chosen]
    return found


class _Bounds:
    """Both sides of the optimal value; a belief may be given up to a factor, which they carry."""

    def __init__(self, pomdp: TabularPOMDP, start: np.ndarray):
        self.outcomes = np.asarray(joint_outcomes(pomdp))
        self.reward = np.asarray(pomdp.mdp.reward, np.float64)
        self.discount = pomdp.mdp.discount
        states, num_actions = self.reward.shape
        systems = np.eye(states) - self.discount * self.outcomes.sum(axis=1)
        self.vectors = np.linalg.solve(systems, self.reward.T[:, :, None])[:, :, 0]
        self.actions = np.arange(num_actions)
        self.corners = self._fast_informed_bound()
        self.beliefs, self.values = np.zeros((0, states)), np.zeros(0)
        # Among the corners too the bound has to come down: everything near one hangs on it.
        self.learn([start, *np.eye(states)])

    def _fast_informed_bound(self) -> np.ndarray:
        # From above every iterate is a bound, so that stopping early is safe.
        table = np.full_like(self.reward, max(self.reward.max(), 0) / (1 - self.discount))
        for _ in range(_MOST_SWEEPS):
            best = np.max(self.outcomes @ table, axis=-1)
            table, old = self.reward + self.discount * best.sum(axis=1).T, table
            if np.abs(table - old).max() <= 1e-3 * (1 - self.discount):
                break
        return table.max(axis=1)

    def learn(self, beliefs: list[np.ndarray]) -> None:
        new = np.array(beliefs).reshape(-1, self.beliefs.shape[1])
        self.values = np.append(self.values, self.upper(new))
        self.beliefs = np.vstack([self.beliefs, new])
        # Nothing of this changes in a sweep.
        self.weights = self.successors(self.beliefs)
        self.ratios = _ratios(self.weights, self.beliefs)

    def knows(self, belief: np.ndarray) -> bool:
        return bool(_ratios(belief, self.beliefs).max() > 1 - _ROUNDING)

    def successors(self, beliefs: np.ndarray) -> np.ndarray:
        """Weights after each action and observation, `[N, A, O, S]`."""
        return np.einsum("ns,aost->naot", beliefs, self.outcomes)

    def lower(self, beliefs: np.ndarray) -> np.ndarray:
        return np.max(beliefs @ self.vectors.T, axis=-1)

    def upper(self, beliefs: np.ndarray) -> np.ndarray:
        return self._sawtooth(beliefs, _ratios(beliefs, self.beliefs))

    def gap(self, beliefs: np.ndarray) -> np.ndarray:
        return self.upper(beliefs) - self.lower(beliefs)

    def _sawtooth(self, beliefs: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        teeth = ratios * (self.values - self.beliefs @ self.corners)
        return beliefs @ self.corners + np.min(teeth, axis=-1, initial=0)

    def sweep_until(self, share: float, tolerance: float) -> None:
        """Back up all known beliefs until a sweep changes less than this share of the gap."""
        for _ in range(_MOST_SWEEPS):
            change = max(self._lower_upper_side(), self._raise_lower_side())
            if change <= share * max(self.gap(self.beliefs[:1])[0], tolerance):
                return

    def _lower_upper_side(self) -> float:
        later = self._sawtooth(self.weights, self.ratios)
        hopes = self.beliefs @ self.reward + self.discount * later.sum(axis=2)
        values = np.minimum(self.values, hopes.max(axis=1))
        change = float(np.max(self.values - values))
        self.values = values
        certain = self.beliefs.max(axis=1) == 1
        np.minimum.at(self.corners, self.beliefs[certain].argmax(axis=1), values[certain])
        return change

    def _raise_lower_side(self) -> float:
        """One vector a belief: the best of those there were and of the backup."""
        best = self.vectors[np.argmax(self.weights @ self.vectors.T, axis=3)]
        later = np.einsum("aost,naot->nas", self.outcomes, best)
        plans = self.reward.T + self.discount * later
        everyone = np.arange(len(self.beliefs))
        actions = np.argmax(np.einsum("ns,nas->na", self.beliefs, plans), axis=1)
        old = np.argmax(self.beliefs @ self.vectors.T, axis=1)
        gain = np.sum(self.beliefs * (plans[everyone, actions] - self.vectors[old]), axis=1)
        better = gain > 0
        vectors = np.where(better[:, None], plans[everyone, actions], self.vectors[old])
        self.vectors, kept = np.unique(vectors, axis=0, return_index=True)
        self.actions = np.where(better, actions, self.actions[old])[kept]
        return max(float(gain.max()), 0.0)


def _ratios(beliefs: np.ndarray, points: np.ndarray) -> np.ndarray:
    r"""How much of a point fits into a belief: $\min_{s: p(s) > 0} b(s)/p(s)$, `[..., P]`."""
    present = points > 0
    inverse = 1 / np.where(present, points, 1)
    shares = np.where(present, beliefs[..., None, :] * inverse, np.inf)
    return shares.min(axis=-1)
