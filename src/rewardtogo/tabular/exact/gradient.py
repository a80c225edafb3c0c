r"""The exact policy gradient of $J(\theta) = E_{\mu_0} V^{\pi_\theta}$, by four routes.

`policy` is any differentiable function from parameters θ (a pytree) to probabilities
$\pi_\theta(a \mid s)$, `[states, actions]`; since $\pi\nabla\log\pi = \nabla\pi$, zero
probabilities do no harm. Gradients have θ's structure, in float64. The routes share neither the
solve nor its derivative, so that their agreement means something.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from ...types import AnyArray
from ..mdp import AbstractMDP
from ..precision import in_float64
from .evaluation import action_values, expected_return, finite_horizon_values, transition_matrix
from .occupancy import occupancy, state_distributions
from .termination import check_policy_ends


Policy = Callable[[PyTree], Float[AnyArray, "states actions"]]


@in_float64
def gradient_by_autodiff(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> PyTree:
    r"""$\nabla_\theta\, \mu_0^\top (I - \gamma P^{\pi_\theta})^{-1} r^{\pi_\theta}$, as written.

    Automatic differentiation through the linear solve of `state_values`.

    **Raises:** `ValueError` if `mdp.discount` is 1 and the policy may never end.
    """
    check_policy_ends(mdp, policy(theta))
    return jax.grad(lambda theta: expected_return(mdp, policy(theta)))(theta)


@in_float64
def gradient_by_theorem(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> PyTree:
    r"""$\frac{1}{1-\gamma} E_{s \sim d^\pi, a \sim \pi}[\nabla\log\pi(a \mid s)\, Q^\pi(s,a)]$.

    Sutton et al. (2000), theorem 1. Written with the improper occupancy, so that γ = 1 works too.

    **Raises:** `ValueError` if `mdp.discount` is 1 and the policy may never end.
    """
    probabilities, pull_back = jax.vjp(policy, theta)
    weight = occupancy(mdp, probabilities)[:, None]
    return pull_back(weight * action_values(mdp, probabilities))[0]


@in_float64
def value_gradients(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> PyTree:
    r"""$\nabla V(s)$ for every start state, by the Bellman recursion.

    $$\nabla V(s) = \sum_a \nabla\pi(a \mid s)\, Q(s,a)
    + \gamma \sum_{s'} P^\pi(s,s')\, \nabla V(s')$$

    Sutton and Barto (2018), section 13.2. Each leaf has a leading axis of start states; weigh it
    with `mdp.initial` for the gradient of $J$.

    **Raises:** `ValueError` if `mdp.discount` is 1 and the policy may never end.
    """
    probabilities = policy(theta)
    q = action_values(mdp, probabilities)
    dynamics = jnp.where(mdp.terminal[:, None], 0, transition_matrix(mdp, probabilities))
    system = jnp.eye(mdp.num_states) - mdp.discount * dynamics

    def recursion(jacobian):
        local = jnp.einsum("sa,sa...->s...", q, jacobian)
        flat = jnp.linalg.solve(system, local.reshape(mdp.num_states, -1))
        return flat.reshape(local.shape)

    return jax.tree.map(recursion, jax.jacobian(policy)(theta))


@in_float64
def gradient_by_recursion(mdp: AbstractMDP, policy: Policy, theta: PyTree) -> PyTree:
    r"""$\sum_s \mu_0(s) \nabla V(s)$ with `value_gradients`.

    **Raises:** `ValueError` if `mdp.discount` is 1 and the policy may never end.
    """
    gradients = value_gradients(mdp, policy, theta)
    return jax.tree.map(lambda g: jnp.einsum("s,s...->...", mdp.initial, g), gradients)


@in_float64
def finite_horizon_gradient(
    mdp: AbstractMDP, policy: Policy, theta: PyTree, *, horizon: int
) -> PyTree:
    r"""The gradient of $J_H = E \sum_{t<H} \gamma^t r_t$ for a policy that does not see the time.

    $$\nabla J_H = \sum_{t<H} \gamma^t \sum_s d_t(s) \sum_a \nabla\pi(a \mid s)\, Q_t(s,a)$$

    Sutton et al. (2000), theorem 1, unrolled; $Q_t$ counts the rewards from $t$ to the horizon,
    discounted to $t$. Defined at γ = 1 for every policy.
    """
    probabilities, pull_back = jax.vjp(policy, theta)
    _, q = finite_horizon_values(mdp, probabilities, horizon=horizon)
    visits = state_distributions(mdp, probabilities, horizon=horizon)
    powers = mdp.discount ** jnp.arange(horizon, dtype=visits.dtype)
    return pull_back(jnp.einsum("t,ts,tsa->sa", powers, visits, q))[0]
