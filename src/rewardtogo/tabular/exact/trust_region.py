r"""Improving a policy under a bound: surrogate, exact TRPO, monotone policy iteration.

The surrogate replaces the visits of the new policy π' by those of the old one, π:

$$L_\pi(\pi') = J(\pi) + \sum_s p^\pi(s) \sum_a \pi'(a \mid s) A_\pi(s,a), \qquad
J(\pi') \ge L_\pi(\pi') - C\, \max_s D_{TV}(\pi, \pi')^2
\ge L_\pi(\pi') - C\, \max_s D_{KL}(\pi \| \pi')$$

with $C = 4\epsilon_A\gamma/(1-\gamma)^2$ and $\epsilon_A = \max_{s,a}|A_\pi|$ of the *old* policy
(Schulman et al. 2015, theorem 1 and equation 9). The divergence is old from new, and over all
states: the theorem says nothing of its mean, which is what TRPO in practice constrains, and
neither a limit on the divergence nor a gain in the surrogate makes $J$ rise. Only the penalty
does. Nothing is chosen in terminal states, so they count in no divergence here.

Policies are tables $\pi(a \mid s)$, or functions from θ to such, as in `gradient`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ...types import AnyArray, Scalar
from ..mdp import AbstractMDP
from ..precision import in_float64
from .distances import kl_divergence, total_variation
from .evaluation import advantages, expected_return, state_values
from .gradient import Policy
from .natural import (
    RELATIVE_CUTOFF,
    acting_visitation,
    natural_gradient,
    score_matrix,
    state_curvatures,
)
from .occupancy import occupancy


# Shares of the full step that the line search tries, from 1 down to 2e-6.
_SHARES = 0.8 ** np.arange(60)
# Strides of the ascent in units of 1/C: there lies the best step where all states curve alike,
# and further down where rare states curve more than their share of the mean.
_STRIDES = 4.0 * 0.5 ** np.arange(40)


class LowerBounds(NamedTuple):
    r"""Both are at most $J(\pi')$; the divergence they charge for is in the name."""

    total_variation: Float[AnyArray, ""]
    kl: Float[AnyArray, ""]


class TrustRegionStep(NamedTuple):
    """`theta`: the new parameters. `divergence`: of the new policy, at most the limit.

    `surrogate`: $L$ of the new policy. `share`: of the full step that was taken; 0 if none gained.
    """

    theta: PyTree
    divergence: Float[AnyArray, ""]
    surrogate: Float[AnyArray, ""]
    share: Float[AnyArray, ""]


class PenalisedStep(NamedTuple):
    """`theta`: the new parameters. `bound`: the penalised bound there, at least the old return."""

    theta: PyTree
    bound: Float[AnyArray, ""]


class MonotoneIterates(NamedTuple):
    """`theta`: the last parameters. `returns`: $J$ at first and after each step, never falling.

    `bounds`: for each step what was maximised; `returns[k] <= bounds[k] <= returns[k + 1]`.
    """

    theta: PyTree
    returns: Float[AnyArray, " points"]
    bounds: Float[AnyArray, " steps"]


@in_float64
def surrogate(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    new_policy: Float[AnyArray, "states actions"],
) -> Float[AnyArray, ""]:
    r"""$L_\pi(\pi') = J(\pi) + \sum_s p^\pi(s) \sum_a \pi'(a \mid s) A_\pi(s,a)$.

    Schulman et al. (2015), equation 3, with the improper occupancy $p^\pi$; the return of the old
    policy is part of it. It has the value and the gradient of $J$ at $\pi' = \pi$.

    **Raises:** `ValueError` if `mdp.discount` is 1 and the old policy may never end.
    """
    return expected_return(mdp, policy) + jnp.sum(_gains(mdp, policy) * new_policy)


@in_float64
def kl_divergences(
    policy: Float[AnyArray, "states actions"], new_policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, " states"]:
    r"""$D_{KL}(\pi(\cdot \mid s) \| \pi'(\cdot \mid s))$ in every state: old from new, in nats.

    **Raises:** `ValueError` naming the row that is no distribution.
    """
    return kl_divergence(policy, new_policy)


@in_float64
def mean_kl_divergence(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    new_policy: Float[AnyArray, "states actions"],
) -> Float[AnyArray, ""]:
    r"""$E_{s \sim d^\pi} D_{KL}(\pi \| \pi')$ over the states in which the old policy acts.

    Schulman et al. (2015), equation 12.

    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    return _over_visits(mdp, policy, kl_divergences(policy, new_policy))


@in_float64
def max_kl_divergence(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    new_policy: Float[AnyArray, "states actions"],
) -> Float[AnyArray, ""]:
    r"""$\max_s D_{KL}(\pi \| \pi')$ over all states that are not terminal, visited or not.

    Schulman et al. (2015), section 3.
    """
    return _worst(mdp, policy, kl_divergences(policy, new_policy))


@in_float64
def lower_bound(
    mdp: AbstractMDP,
    policy: Float[AnyArray, "states actions"],
    new_policy: Float[AnyArray, "states actions"],
) -> LowerBounds:
    r"""What $J(\pi')$ is at least, known from the old policy's values alone.

    $$J(\pi') \ge L_\pi(\pi') - \frac{4\epsilon_A\gamma}{(1-\gamma)^2} D, \qquad
    \epsilon_A = \max_{s,a} |A_\pi(s,a)|$$

    Schulman et al. (2015), theorem 1 with $D = \max_s D_{TV}^2$, and equation 9 with
    $D = \max_s D_{KL}(\pi \| \pi')$, which is weaker.

    **Returns:** both bounds, in reward units; −∞ for an infinite divergence.
    **Raises:** `ValueError` if `mdp.discount` is 1, where there is no bound.
    """
    coefficient = penalty_coefficient(mdp, policy)
    estimate = surrogate(mdp, policy, new_policy)
    worst_tv = _worst(mdp, policy, total_variation(policy, new_policy))
    worst_kl = max_kl_divergence(mdp, policy, new_policy)
    return LowerBounds(
        estimate - _charge(coefficient, worst_tv**2), estimate - _charge(coefficient, worst_kl)
    )


@in_float64
def penalty_coefficient(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, ""]:
    r"""$C = 4\epsilon_A\gamma/(1-\gamma)^2$ with $\epsilon_A = \max_{s,a}|A_\pi|$ of the old.

    **Raises:** `ValueError` if `mdp.discount` is 1, where it is infinite.
    """
    if mdp.discount == 1:
        raise ValueError(
            "the bound needs a `discount` below 1; got 1, where its penalty is infinite."
        )
    largest = jnp.max(jnp.abs(advantages(mdp, policy)))
    return 4 * mdp.discount / (1 - mdp.discount) ** 2 * largest


@in_float64
def exact_trpo_step(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, *, max_kl: Scalar
) -> TrustRegionStep:
    r"""One step of TRPO with nothing estimated and $E_{d^\pi} D_{KL}(\pi \| \pi') \le \delta$.

    $$\theta' = \theta + \beta^j \sqrt{2\delta / x^\top F x}\; x, \qquad x = F^+ \nabla J$$

    Schulman et al. (2015), appendix C. The first of 60 shares $0.8^j$ is taken that gains in the
    surrogate, beyond rounding, and keeps the exact divergence within `max_kl`; θ stays if none
    does. $J$ may fall.

    **Arguments:** `max_kl`: δ, in nats, above 0.
    **Raises:** `ValueError` if `max_kl` is not above 0, or `mdp.discount` is 1.
    """
    return _trust_region_step(mdp, policy, theta, max_kl, _over_visits)


@in_float64
def exact_trpo_step_worst_state(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, *, max_kl: Scalar
) -> TrustRegionStep:
    r"""`exact_trpo_step` with the limit on every state: $\max_s D_{KL}(\pi \| \pi') \le \delta$.

    Schulman et al. (2015), equation 11. The first length is $\sqrt{2\delta / \max_s x^\top F_s x}$.
    This is the divergence of the theory; still, a limit is no penalty and $J$ may fall.

    **Raises:** as `exact_trpo_step`.
    """
    return _trust_region_step(mdp, policy, theta, max_kl, _worst)


@in_float64
def penalised_step(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, *, iterations: int = 10
) -> PenalisedStep:
    r"""Raise $M(\theta') = L_\pi(\pi_{\theta'}) - C \max_s D_{KL}(\pi \| \pi_{\theta'})$ from θ.

    Schulman et al. (2015), algorithm 1. $M(\theta) = J(\pi)$ and $M \le J$ everywhere, so that
    whatever raises $M$ does not lower $J$, in any class of policies. Each iteration goes along
    $F^+ \nabla M$ with $F$ of the old policy, by the best of 40 strides or not at all: $M$ never
    falls, and its maximum, where the worst state changes, need not be reached.

    **Arguments:** `iterations`: of the ascent, at least 1.
    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    if iterations < 1:
        raise ValueError(f"`iterations` must be at least 1; got {iterations}.")
    old = policy(theta)
    coefficient, gains = penalty_coefficient(mdp, old), _gains(mdp, old)
    old_return = expected_return(mdp, old)
    start, unravel = ravel_pytree(theta)
    root = jnp.linalg.pinv(score_matrix(mdp, policy, theta), rtol=RELATIVE_CUTOFF)
    strides = _STRIDES / jnp.where(coefficient > 0, coefficient, 1)

    def bound(flat):
        new = policy(unravel(flat))
        divergence = max_kl_divergence(mdp, old, new)
        # Σ_a π A = 0: taken off so that M(θ) is J(π) to the last bit.
        gain = jnp.sum(gains * (new - old))
        return old_return + gain - _charge(coefficient, divergence)

    def ascend(flat, _):
        value, gradient = jax.value_and_grad(bound)(flat)
        direction = root @ (root.T @ gradient)
        candidates = flat[None, :] + strides[:, None] * direction[None, :]
        values = jnp.nan_to_num(jax.vmap(bound)(candidates), nan=-jnp.inf)
        best = jnp.argmax(values)
        return jnp.where(values[best] > value, candidates[best], flat), None

    best, _ = lax.scan(ascend, start, length=iterations, xs=None)
    return PenalisedStep(unravel(best), bound(best))


@in_float64
def monotone_policy_iteration(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, *, steps: int, iterations: int = 10
) -> MonotoneIterates:
    r"""`steps` times `penalised_step`: $J$ never falls, in any class of policies.

    $$J(\pi_{k+1}) \ge M_k(\theta_{k+1}) \ge M_k(\theta_k) = J(\pi_k)$$

    Schulman et al. (2015), algorithm 1 and equation 10. With the theory's $C$ the steps are short:
    this is for proof, not for speed.

    **Raises:** `ValueError` if `mdp.discount` is 1, or a count is below 1.
    """
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1; got {steps}.")

    def step(theta, _):
        theta, bound = penalised_step(mdp, policy, theta, iterations=iterations)
        return theta, (expected_return(mdp, policy(theta)), bound)

    first = jnp.asarray(expected_return(mdp, policy(theta)))
    theta, (returns, bounds) = lax.scan(step, theta, length=steps, xs=None)
    return MonotoneIterates(theta, jnp.append(first, returns), bounds)


OverStates = Callable[[AbstractMDP, AnyArray, AnyArray], Array]


def _trust_region_step(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, max_kl: Scalar, over_states: OverStates
) -> TrustRegionStep:
    if not isinstance(max_kl, Tracer) and not max_kl > 0:
        raise ValueError(f"`max_kl` must be above 0 nats; got {max_kl}.")
    old = policy(theta)
    direction = natural_gradient(mdp, policy, theta)
    curvature = over_states(mdp, old, state_curvatures(policy, theta, direction))
    # No curvature: no direction changes the policy, and the step is 0.
    positive = jnp.where(curvature > 0, curvature, 1)
    full = jnp.where(curvature > 0, jnp.sqrt(2 * max_kl / positive), 0)
    gains, shares = _gains(mdp, old), jnp.append(_SHARES, 0)
    at = lambda share: jax.tree.map(lambda t, x: t + share * full * x, theta, direction)

    def measure(share):
        new = policy(at(share))
        return jnp.sum(gains * (new - old)), over_states(mdp, old, kl_divergences(old, new))

    gain, divergence = jax.vmap(measure)(shares)
    accepted = (gain > _rounding(mdp, old)) & (divergence <= max_kl)
    # The last share, 0, is the old policy: taken when no other is accepted.
    first = jnp.argmax(accepted.at[-1].set(True))
    estimate = expected_return(mdp, old) + gain[first]
    return TrustRegionStep(at(shares[first]), divergence[first], estimate, shares[first])


def _gains(mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]) -> Array:
    r"""$p^\pi(s) A_\pi(s,a)$; what a terminal state holds is worth nothing."""
    visits = jnp.asarray(occupancy(mdp, policy))
    return visits[:, None] * advantages(mdp, policy)


def _rounding(mdp: AbstractMDP, policy: AnyArray) -> Array:
    """What a sum over `_gains` can be off by: at an optimum their signs are noise."""
    largest = jnp.max(jnp.abs(jnp.asarray(state_values(mdp, policy))))
    return 1e-13 * largest * jnp.sum(occupancy(mdp, policy))


def _over_visits(mdp: AbstractMDP, policy: AnyArray, divergences: AnyArray) -> Array:
    visits = jnp.asarray(acting_visitation(mdp, policy))
    # An infinite divergence where nobody goes counts as nothing, not as NaN.
    return jnp.sum(jnp.where(visits > 0, visits * divergences, 0))


def _worst(mdp: AbstractMDP, policy: AnyArray, divergences: AnyArray) -> Array:
    return jnp.max(jnp.where(mdp.terminal, 0, divergences))


def _charge(coefficient: AnyArray, divergence: AnyArray) -> Array:
    """Their product, where 0 times an infinite divergence is 0."""
    return jnp.where(coefficient > 0, divergence, 0) * jnp.asarray(coefficient)
