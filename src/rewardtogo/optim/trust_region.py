r"""Steps measured by how far the policy moves, not its parameters.

$$\Delta = \beta\,(F + \lambda I)^{-1} g, \qquad
F = \nabla^2_\theta\, E_s D_{KL}(\pi_{\text{old}} \| \pi_\theta)\big|_{\theta_{\text{old}}}$$

Kakade (2002); Schulman et al. (2015), appendix C. Parameters are flat vectors; the Fisher matrix is
never formed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..nn.distributions import AbstractEntropicDistribution
from ..types import Scalar


Vector = Float[Array, " parameters"]


class Fisher(NamedTuple):
    r"""The second derivative of the divergence, in two forms.

    `product(v)`: $F v$. `curvatures(v)`: $v^\top F_s v$ in every state, whose average is
    $v^\top F v$; half of it is $D_{KL}(\pi_\theta \| \pi_{\theta+v})$ to second order.
    """

    product: Callable[[Vector], Vector]
    curvatures: Callable[[Vector], Float[Array, "*batch"]]


def fisher(
    distribution: Callable[[Vector], AbstractEntropicDistribution],
    theta: Vector,
    *,
    average: Callable[[Float[Array, "*batch"]], Float[Array, ""]] = jnp.mean,
) -> Fisher:
    r"""$F = E_s[J_s^\top H_s J_s]$, $J_s$ the network's Jacobian and $H_s$ the head's own Fisher.

    Schulman et al. (2015), appendix C.1. The divergence is old from new and old is a constant, so
    that its gradient at θ is 0 and $F$ is all of its Hessian. A product is one derivative forward
    and one backward through the network, which is linearised once.

    **Arguments:** `distribution`: from parameters to the distributions of a batch of states.
    `average`: over the states, linear; by default all weigh the same.
    """
    old, push = jax.linearize(distribution, theta)
    pull_back = jax.linear_transpose(push, theta)

    def product(vector: Vector) -> Vector:
        slope = jax.grad(lambda new: average(old.kl_divergence(new)))
        _, change = jax.jvp(slope, (old,), (push(vector),))
        return pull_back(change)[0]

    def curvatures(vector: Vector) -> Float[Array, "*batch"]:
        tangent = push(vector)
        slope = lambda new: jax.jvp(old.kl_divergence, (new,), (tangent,))[1]
        return jax.jvp(slope, (old,), (tangent,))[1]

    return Fisher(product, curvatures)


class ConjugateGradientSolution(NamedTuple):
    """`solution`: x. `residual`: |b − Ax| / |b|, as the recurrence has it; 0 where b is 0."""

    solution: Vector
    residual: Float[Array, ""]


def conjugate_gradient(
    product: Callable[[Vector], Vector],
    target: Vector,
    *,
    iterations: int,
    tolerance: Scalar = 1e-10,
) -> ConjugateGradientSolution:
    r"""Solve $A x = b$ for a symmetric, positive definite $A$ known by its products.

    Hestenes and Stiefel (1952), section 3. A fixed number of iterations; what comes after the
    residual has fallen to `tolerance` of $|b|$, or after a direction without positive curvature,
    changes nothing: nothing is divided by 0, and the solution stays.
    """
    first = target @ target
    enough = jnp.square(tolerance) * first

    def iterate(carry: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], None]:
        solution, residual, direction, squared = carry
        image = product(direction)
        curvature = direction @ image
        going = (squared > enough) & (curvature > 0)
        length = jnp.where(going, squared / jnp.where(going, curvature, 1), 0)
        left = residual - length * image
        left_squared = left @ left
        turned = left + left_squared / jnp.where(going, squared, 1) * direction
        after = (solution + length * direction, left, turned, left_squared)
        return jax.tree.map(lambda new, old: jnp.where(going, new, old), after, carry), None

    start = (jnp.zeros_like(target), target, target, first)
    (solution, _, _, squared), _ = lax.scan(iterate, start, length=iterations)
    return ConjugateGradientSolution(solution, jnp.sqrt(squared / jnp.where(first > 0, first, 1)))


def length_to(curvature: Float[Array, ""], max_kl: Scalar) -> Float[Array, ""]:
    r"""$\beta = \sqrt{2\delta / x^\top F x}$: at $\beta x$ the divergence is δ, to second order.

    Schulman et al. (2015), appendix C, whose $\tfrac12 \Delta^\top F \Delta$ has the half. 0 where
    there is no curvature: no direction changes the policy.
    """
    positive = curvature > 0
    return jnp.where(positive, jnp.sqrt(2 * max_kl / jnp.where(positive, curvature, 1)), 0)


def penalised_length(
    slope: Float[Array, ""], curvature: Float[Array, ""], coefficient: Scalar
) -> Float[Array, ""]:
    r"""$\beta = g^\top x / (C x^\top F x)$, which maximises $\beta g^\top x - C \tfrac12 \beta^2
    x^\top F x$.

    The quadratic model of $L - C D_{KL}$, Schulman et al. (2015), section 4. 0 where there is no
    curvature.
    """
    positive = curvature > 0
    return jnp.where(positive, slope / jnp.where(positive, coefficient * curvature, 1), 0)


class LineSearchResult(NamedTuple):
    """`theta`: where the search ended. `share`: of the step that was taken, 0 if none."""

    theta: Vector
    share: Float[Array, ""]


def line_search(
    accepts: Callable[[Vector], Bool[Array, ""]], theta: Vector, step: Vector, *, lengths: int
) -> LineSearchResult:
    r"""The first of $\theta + 2^{-j}\Delta$, $j = 0, \dots,$ `lengths` − 1, that is accepted.

    Schulman et al. (2015), appendix C. θ stays to the last bit where none is, a NaN included.
    """

    def searching(carry: tuple[Any, ...]) -> Bool[Array, ""]:
        tried, _, accepted = carry
        return ~accepted & (tried < lengths)

    def attempt(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        tried, share, _ = carry
        share = 0.5 * share
        return tried + 1, share, accepts(theta + share * step)

    start = (jnp.zeros((), jnp.int32), jnp.full((), 2, theta.dtype), jnp.zeros((), bool))
    _, share, accepted = lax.while_loop(searching, attempt, start)
    moved = jnp.where(accepted, theta + share * step, theta)
    return LineSearchResult(moved, jnp.where(accepted, share, 0))
