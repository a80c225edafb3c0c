"""Optimal values of partially observable processes over an endless horizon."""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from ..checks import as_floats
from ..exact.distances import require_distributions
from .process import TabularPOMDP, joint_outcomes


# Of one trial: new beliefs, and sweeps over all of them.
_MOST_NEW, _MOST_SWEEPS = 20, 10_000
# Rounding makes copies of one belief. Near a corner what is close in the maximum norm is not.
_ROUNDING = 1e-10
# Sweeps that change this little find nothing but rounding.
_LEAST_SHARE = 1e-7


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
