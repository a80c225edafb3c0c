r"""What off-policy linear prediction does in the mean: its matrices, errors and rates, in float64.

States are weighted by how often the behaviour b meets them: $d$ is its on-policy distribution.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ...tabular.exact.distances import require_distributions
from ...tabular.exact.evaluation import state_values, transition_matrix
from ...tabular.mdp import AbstractMDP, TabularMDP
from ...tabular.successors import dense
from ...types import AnyArray
from ..values.fixed_points import on_policy_distribution
from .methods import AbstractOffPolicyMethod, OffPolicyStep, Weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyCase:
    r"""A target policy π, the behaviour b that makes the data, and linear features; checked.

    `features`: $x(s)$, one row a state; those of terminal states are not used. `initial_weights`:
    one number for all, or one each.

    **Raises:** `ValueError` for arrays of other shapes or with entries that are not finite, rows
    that are no distribution, and a behaviour that never does what the target may.
    """

    mdp: AbstractMDP
    features: Float[AnyArray, "_ _"]
    target: Float[AnyArray, "_ _"]
    behaviour: Float[AnyArray, "_ _"]
    initial_weights: float | Float[AnyArray, "..."] = 0.0

    def __post_init__(self):
        shape = (self.mdp.num_states, self.mdp.num_actions)
        for name in ("target", "behaviour"):
            policy = getattr(self, name)
            if np.shape(policy) != shape:
                raise ValueError(f"`{name}` must have shape {shape}; got {np.shape(policy)}.")
            require_distributions(name, policy)
        features = np.asarray(self.features)
        if features.ndim != 2 or len(features) != shape[0] or not features.size:
            raise ValueError(
                f"`features` must have a row for each of {shape[0]} states; got shape "
                f"{features.shape}."
            )
        if np.shape(self.initial_weights) not in ((), features.shape[1:]):
            raise ValueError(
                f"`initial_weights` must be one number or one for each of {features.shape[1]} "
                f"features; got shape {np.shape(self.initial_weights)}."
            )
        for name in ("features", "initial_weights"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"`{name}` must be finite.")
        _check_cover(np.asarray(self.target), np.asarray(self.behaviour))

    @property
    def live_features(self) -> Float[np.ndarray, "states features"]:
        """$x(s)$ in float64, 0 in terminal states."""
        return np.where(self.mdp.terminal[:, None], 0, np.asarray(self.features, np.float64))

    @property
    def ratio(self) -> Float[np.ndarray, "states actions"]:
        r"""$\rho(s, a) = \pi(a \mid s) / b(a \mid s)$, 0 where neither acts."""
        target, behaviour = np.asarray(self.target), np.asarray(self.behaviour)
        return np.where(behaviour > 0, target / np.where(behaviour > 0, behaviour, 1), 0)


def _check_cover(target: np.ndarray, behaviour: np.ndarray) -> None:
    missing = np.argwhere((target > 0) & ~(behaviour > 0))
    if len(missing):
        state, action = missing[0]
        raise ValueError(
            f"`behaviour` never takes action {action} in state {state}, which `target` may: no "
            "ratio corrects for that."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureMoments:
    r"""$A$, $b$ and $C$ of `off_policy`, d, and $V^\pi$.

    `followon`: $E[F_t \mid S_t = s] = f(s)/d(s)$ with $f = d + \gamma P_\pi^\top f$, what emphatic
    TD weighs a state by.
    """

    a: Float[np.ndarray, "features features"]
    b: Float[np.ndarray, " features"]
    c: Float[np.ndarray, "features features"]
    features: Float[np.ndarray, "states features"]
    weighting: Float[np.ndarray, " states"]
    followon: Float[np.ndarray, " states"]
    values: Float[np.ndarray, " states"]

    def value_error(
        self, weights: Float[np.ndarray, "*batch features"]
    ) -> Float[np.ndarray, "*batch"]:
        r"""$\sqrt{\overline{VE}} = \sqrt{\sum_s d(s) (w^\top x(s) - V^\pi(s))^2}$, eq. 9.1."""
        off = weights @ self.features.T - self.values
        return np.asarray(np.sqrt(np.square(off) @ self.weighting))

    def projected_error(
        self, weights: Float[np.ndarray, "*batch features"]
    ) -> Float[np.ndarray, "*batch"]:
        r"""$\sqrt{\overline{PBE}} = \sqrt{(b - Aw)^\top C^+ (b - Aw)}$, eqs. 11.22 and 11.26."""
        off = self.b - weights @ self.a.T
        # Of C⁺, by its root: a sum of squares cannot fall below 0.
        size, basis = np.linalg.eigh(self.c)
        kept = size > 1e-12 * size[-1]
        scaled = off @ (basis[:, kept] / np.sqrt(size[kept]))
        return np.asarray(np.linalg.norm(scaled, axis=-1))

    @property
    def fixed_point(self) -> Float[np.ndarray, " features"]:
        """$A^+ b$, where semi-gradient TD(0) stands still; the shortest where there are several."""
        return np.linalg.lstsq(self.a, self.b)[0]


def moments(case: OffPolicyCase) -> FeatureMoments:
    r"""$A = X^\top D (I - \gamma P_\pi) X$, $b = X^\top D r_\pi$, $C = X^\top D X$.

    Sutton and Barto (2018), sections 9.4 and 11.4 to 11.8.

    **Raises:** `ValueError` at γ = 1 if π may never end, and as `on_policy_distribution` for b.
    """
    live = ~np.asarray(case.mdp.terminal)
    weighting = on_policy_distribution(case.mdp, np.asarray(case.behaviour))
    dynamics = np.asarray(transition_matrix(case.mdp, np.asarray(case.target)))
    dynamics = np.where(live[:, None] & live, dynamics, 0)
    x, discount = case.live_features, case.mdp.discount
    reward = np.sum(np.asarray(case.target) * case.mdp.reward, axis=1)
    values = np.asarray(state_values(case.mdp, np.asarray(case.target)))
    visited = weighting > 1e-15  # what is left of 0 in a solve
    emphasis = np.linalg.solve(np.eye(len(live)) - discount * dynamics.T, weighting)
    return FeatureMoments(
        a=x.T @ (weighting[:, None] * (x - discount * dynamics @ x)),
        b=x.T @ (weighting * reward),
        c=x.T @ (weighting[:, None] * x),
        features=x,
        weighting=weighting,
        followon=np.where(visited, emphasis / np.where(visited, weighting, 1), 0),
        values=values,
    )


def expected_step(
    method: AbstractOffPolicyMethod, case: OffPolicyCase, exact: FeatureMoments
) -> Callable[[Weights], Weights]:
    r"""One step in the mean: the weights, and $\sum d(s) b(a \mid s) P(s' \mid s, a)$ of changes.

    For semi-gradient TD that is dynamic programming, $w \leftarrow w + \alpha (b - A w)$; Sutton
    and Barto (2018), eq. 11.9. To be called in float64.
    """
    seen, probability = _every_step(case, exact)

    def step(weights: Weights) -> Weights:
        change = lambda seen: method.change(weights, seen, discount=case.mdp.discount)
        changes = jax.vmap(change)(jax.tree.map(jnp.asarray, seen))
        add = lambda now, changes: now + jnp.asarray(probability) @ changes
        return jax.tree.map(add, weights, changes)

    return step


def _every_step(
    case: OffPolicyCase, exact: FeatureMoments
) -> tuple[OffPolicyStep, Float[np.ndarray, " steps"]]:
    """All (s, a, s') that b meets, with their probabilities."""
    mdp = case.mdp if isinstance(case.mdp, TabularMDP) else dense(case.mdp)
    joint = exact.weighting[:, None] * np.asarray(case.behaviour)
    probability = joint[:, :, None] * np.asarray(mdp.transition)
    state, action, successor = np.nonzero(probability)
    if mdp.successor_reward is None:
        reward = np.asarray(mdp.reward)[state, action]
    else:
        reward = np.asarray(mdp.successor_reward)[state, action, successor]
    seen = OffPolicyStep(
        exact.features[state],
        reward,
        exact.features[successor],
        case.ratio[state, action],
        exact.followon[state],
    )
    return seen, probability[state, action, successor]


def update_matrix(
    method: AbstractOffPolicyMethod, case: OffPolicyCase
) -> Float[np.ndarray, "weights weights"]:
    r"""M of the expected update $(w, v) \leftarrow M (w, v) + m$.

    Of semi-gradient TD it is $I - \alpha A$, beside v, which stays. The second half of its rows
    and columns is v's.
    """
    exact = moments(case)
    with jax.enable_x64(True):
        zeros = jnp.zeros(exact.features.shape[1])
        flat, restore = ravel_pytree(Weights(zeros, zeros))
        step = expected_step(method, case, exact)
        after: Callable[[Array], Array] = lambda flat: ravel_pytree(step(restore(flat)))[0]
        return np.asarray(jax.jit(jax.jacfwd(after))(flat))


def growth_rate(method: AbstractOffPolicyMethod, case: OffPolicyCase) -> float:
    r"""$\log \varrho(M)$ a step, ϱ the spectral radius: above 0 expected updates diverge.

    Below 0 they converge, that fast in the end. At 0 they are bounded: a direction that the
    features leave undetermined stays as it was. Weights that the method never moves do not count.
    """
    matrix = update_matrix(method, case)
    moved = ~np.all(matrix == np.eye(len(matrix)), axis=1)
    radius = np.abs(np.linalg.eigvals(matrix[np.ix_(moved, moved)])).max(initial=0.0)
    return math.log(radius) if radius else -math.inf
