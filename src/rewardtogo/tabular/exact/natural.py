r"""The exact Fisher matrix and the natural policy gradient.

$$F(\theta) = E_{s \sim d^\pi,\, a \sim \pi}\big[\nabla\log\pi(a \mid s)\,
\nabla\log\pi(a \mid s)^\top\big]$$

States are weighted by the normalised discounted visitation $d^\pi$, and $F$ is the Hessian at
$\Delta = 0$ of $E_{s \sim d^\pi} D_{KL}(\pi_\theta \| \pi_{\theta+\Delta})$, with $d^\pi$ held
fixed: this mean divergence is $\tfrac12 \Delta^\top F \Delta + O(\Delta^3)$, with the half.
Nothing is chosen in a terminal state, so its mass in $d^\pi$ counts as 0 here.

`policy` is a function from θ (a pytree) to $\pi_\theta(a \mid s)$, as in `gradient`. Actions of
probability 0 are left out; where such a probability is about to leave 0, $F$ does not exist.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from ...types import AnyArray
from ..mdp import AbstractMDP
from ..precision import in_float64
from .evaluation import advantages
from .gradient import Policy
from .occupancy import visitation


RELATIVE_CUTOFF = 1e-10
"""Singular values of `score_matrix` below this share of the largest count as 0."""


@in_float64
def acting_visitation(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]
) -> Float[AnyArray, " states"]:
    r"""$d^\pi(s)$ where an action is chosen, 0 in terminal states; sums to at most 1.

    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    return jnp.where(mdp.terminal, 0, visitation(mdp, policy))


@in_float64
def fisher(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> Float[AnyArray, "parameters again"]:
    r"""$F = E_{s \sim d^\pi, a \sim \pi}[\nabla\log\pi\, \nabla\log\pi^\top]$.

    Kakade (2002), section 2. Rows and columns in the order of `jax.flatten_util.ravel_pytree`.

    **Raises:** `ValueError` if `mdp.discount` is 1, where $d^\pi$ does not exist.
    """
    scores = score_matrix(mdp, policy, theta)
    return scores.T @ scores


@in_float64
def fisher_vector_product(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, direction: PyTree
) -> PyTree:
    r"""$F v = \sum_s d^\pi(s) \sum_a \nabla\pi(a|s)\, (\nabla\pi(a|s)^\top v) / \pi(a|s)$.

    Schulman et al. (2015), appendix C.1. One derivative forward and one backward; $F$ is never
    formed.

    **Arguments:** `direction`: $v$, with θ's structure.
    **Returns:** $F v$, with θ's structure.
    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    probabilities, change = jax.jvp(policy, (theta,), (direction,))
    weight = acting_visitation(mdp, probabilities)[:, None] * _inverse(probabilities)
    _, pull_back = jax.vjp(policy, theta)
    return pull_back(weight * change)[0]


@in_float64
def natural_gradient(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> PyTree:
    r"""$F^+ \nabla J$, by the Moore–Penrose pseudo-inverse, for $F$ is singular as a rule.

    Kakade (2002), theorem 1: $F^+\nabla J = w/(1-\gamma)$ for the shortest $w$ that minimises
    $E_{d^\pi,\pi}(w^\top\nabla\log\pi - A^\pi)^2$. It is solved as this least-squares problem,
    whose condition number is the square root of $F$'s; `RELATIVE_CUTOFF`, 1e-10 of the largest
    singular value there, is thus 1e-20 of $F$'s largest eigenvalue. What lies below counts as a
    direction that does not change the policy. For a softmax table,
    $F^+\nabla J = (A - \mathrm{mean}_a A)/(1-\gamma)$ in every state with $d^\pi(s) > 0$, else 0.

    **Returns:** the direction of steepest ascent in the divergence, with θ's structure.
    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    probabilities = policy(theta)
    _, unravel = ravel_pytree(theta)
    weight = acting_visitation(mdp, probabilities)[:, None] * probabilities
    target = _safe_sqrt(weight) * advantages(mdp, probabilities)
    inverse = jnp.linalg.pinv(score_matrix(mdp, policy, theta), rtol=RELATIVE_CUTOFF)
    return unravel(inverse @ target.reshape(-1) / (1 - mdp.discount))


@in_float64
def score_matrix(
    mdp: AbstractMDP, policy: Policy, theta: PyTree
) -> Float[AnyArray, "pairs parameters"]:
    r"""$B$ with $F = B^\top B$: rows $\sqrt{d^\pi(s)\pi(a \mid s)}\,\nabla\log\pi(a \mid s)^\top$.

    One row for each state and action, states first; columns as `ravel_pytree` orders θ.

    **Raises:** `ValueError` if `mdp.discount` is 1.
    """
    flat, unravel = ravel_pytree(theta)
    probabilities = policy(theta)
    jacobian = jax.jacobian(lambda vector: policy(unravel(vector)))(flat)
    visits = acting_visitation(mdp, probabilities)[:, None]
    scale = _safe_sqrt(visits * _inverse(probabilities))
    return (scale[:, :, None] * jacobian).reshape(-1, flat.size)


@in_float64
def state_curvatures(
    policy: Policy, theta: PyTree, direction: PyTree
) -> Float[AnyArray, " states"]:
    r"""$v^\top F_s v = \sum_a (\nabla\pi(a \mid s)^\top v)^2 / \pi(a \mid s)$ in every state.

    $\tfrac12 v^\top F_s v$ is $D_{KL}(\pi_\theta(s) \| \pi_{\theta+v}(s))$ to second order.
    """
    probabilities, change = jax.jvp(policy, (theta,), (direction,))
    return jnp.sum(change**2 * _inverse(probabilities), axis=1)


def _inverse(probabilities: Float[AnyArray, "states actions"]) -> Float[AnyArray, "states actions"]:
    possible = probabilities > 0
    return jnp.where(possible, 1 / jnp.where(possible, probabilities, 1), 0)


def _safe_sqrt(x: Float[AnyArray, "states actions"]) -> Float[AnyArray, "states actions"]:
    """The root, with derivative 0 at 0 in place of an infinite one."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)
