r"""Entropy-regularised ("soft") Markov decision processes at temperature $\tau > 0$.

A policy earns $r(s,a) - \tau \log \pi(a|s)$ a step. Here $Q^\pi(s,a)$ leaves out the entropy of
its *own* action, as in soft actor–critic (Haarnoja et al. 2018, eqs. 2–3):

$$Q^\pi(s,a) = r(s,a) + \gamma \sum_{s'} P(s'|s,a) V^\pi(s'), \qquad
V^\pi(s) = \sum_a \pi(a|s) \left( Q^\pi(s,a) - \tau \log \pi(a|s) \right)$$

Elsewhere the term $-\tau \log \pi(a|s)$ is put inside $Q^\pi(s,a)$; such a $Q$ is this one plus
that term. The soft backup and the policy that attains it,

$$BV(s) = \tau \log \sum_a e^{Q(s,a)/\tau}, \qquad \pi(a|s) \propto e^{Q(s,a)/\tau},$$

form a γ-contraction as the hard one does: with $\epsilon = \lVert BV - V \rVert_\infty$,
$\lVert BV - V^* \rVert_\infty \le \gamma \epsilon/(1-\gamma)$. A terminal state is worth 0: after
the end there are no actions, hence no entropy either.

At γ = 1 the entropy bonus can outweigh what living costs, and values are infinite. Let $w(s)$ be
the mean number of steps that the policy above takes, $w$ its maximum. If $4 \epsilon w^2 \le \tau$
then $U = V + 2 \epsilon w(\cdot)$ obeys $BU \le U$, since $e^x \le 1 + x + x^2$ for $x \le 1$; so
values are finite and $\lVert V - V^* \rVert_\infty \le 2 \epsilon w$.

All functions compute in float64; transform them inside `jax.enable_x64`.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...types import AnyArray, Scalar
from ..exact.evaluation import lookahead
from ..exact.termination import check_policy_ends, ending_policy
from ..mdp import AbstractMDP
from ..precision import in_float64
from ..successors import SuccessorMDP


_NOT_CONVERGED = (
    "`discount` is 1 and {method} has not converged after {iterations} iterations: soft values are "
    "infinite where the entropy bonus, up to `temperature` · log(actions) a step, makes up for "
    "what it costs to go on. Use a discount below 1 or a lower `temperature`; or, if episodes are "
    "merely long, more `max_iterations` or a larger `tolerance`."
)


@in_float64
def gibbs_policy(
    action_values: Float[AnyArray, "*batch actions"], *, temperature: Scalar
) -> Float[AnyArray, "*batch actions"]:
    r"""$\pi(a \mid s) = e^{Q(s,a)/\tau} / \sum_b e^{Q(s,b)/\tau}$, which attains the soft backup.

    Haarnoja et al. (2018), eq. 4. Applied to $Q^\pi$ it is soft policy improvement.

    **Raises:** `ValueError` if `temperature` is not positive.
    """
    validate.positive("temperature", temperature)
    return _gibbs(action_values, temperature)


@in_float64
def soft_backup(
    mdp: AbstractMDP, values: Float[AnyArray, " states"], *, temperature: Scalar
) -> Float[AnyArray, " states"]:
    r"""$BV(s) = \tau \log \sum_a \exp\left((r(s,a) + \gamma \sum_{s'} P V(s'))/\tau\right)$.

    Haarnoja et al. (2017), theorem 2. Between the hard backup and $\tau \log |A|$ above it; 0 in a
    terminal state.

    **Raises:** `ValueError` if `temperature` is not positive.
    """
    validate.positive("temperature", temperature)
    return _soft_maximum(mdp, lookahead(mdp, values), temperature)


@in_float64
def soft_state_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, temperature: Scalar
) -> Float[AnyArray, " states"]:
    r"""Solve $V^\pi = r^\pi + \tau H(\pi) + \gamma P^\pi V^\pi$, the entropy in nats, 0 log 0 = 0.

    Haarnoja et al. (2018), eqs. 2–3. One dense solve, $O(|S|^3)$. Differentiable; where `policy` is
    the soft-optimal one, held fixed, the derivative in the tables is that of the soft-optimal
    values too (the envelope theorem).

    **Raises:** `ValueError` if `temperature` is not positive, or if `mdp.discount` is 1 and the
    policy may never end.
    """
    validate.positive("temperature", temperature)
    check_policy_ends(mdp, policy)
    return _evaluate(mdp, policy, temperature)[0]


@in_float64
def soft_action_values(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], *, temperature: Scalar
) -> Float[AnyArray, "states actions"]:
    r"""$Q^\pi(s,a) = r(s,a) + \gamma \sum_{s'} P(s'|s,a) V^\pi(s')$, $V^\pi$ being the soft values.

    As in soft actor–critic, the entropy of the action $a$ itself is not in it; see the module.

    **Raises:** `ValueError` as `soft_state_values`.
    """
    return lookahead(mdp, soft_state_values(mdp, policy, temperature=temperature))


class SoftSolution(eqx.Module):
    r"""Soft-optimal values, with a bound on their error.

    `action_values`: $Q$ of the last sweep, without the entropy of the own action. `values`:
    $\tau \log \sum_a e^{Q/\tau}$. `policy`: $\pi(a|s) \propto e^{Q/\tau}$. `value_error`: bounds
    the error of each value and action value, float64's rounding included; None at γ = 1.
    `iterations`: sweeps, or evaluations of a policy. `converged`: whether the tolerance was met.
    """

    values: Float[AnyArray, " states"]
    action_values: Float[AnyArray, "states actions"]
    policy: Float[AnyArray, "states actions"]
    value_error: Float[AnyArray, ""] | None
    iterations: Int[AnyArray, ""]
    converged: Bool[AnyArray, ""]
    method: str = eqx.field(static=True)


def soft_value_iteration(
    mdp: AbstractMDP, *, temperature: Scalar, tolerance: float = 1e-6, max_iterations: int = 100_000
) -> SoftSolution:
    r"""Iterate $V \leftarrow \tau \log \sum_a e^{Q/\tau}$ from 0.

    Haarnoja et al. (2017), theorem 3. It stops once the bound on the error, `value_error` or at
    γ = 1 the module's $2 \epsilon w$ with $w$ iterated alongside, is within `tolerance`, in reward
    units. Forward-differentiable only; for gradients, differentiate `soft_state_values` at the
    policy that is found.

    **Raises:** `ValueError` for a `temperature` or `tolerance` that is not positive; if
    `mdp.discount` is 1 and some state cannot reach a terminal one, or the values do not converge,
    as when they are infinite (under a transformation: `converged` is false then).
    """
    _check_settings(temperature, tolerance, max_iterations)
    _ending_start(mdp)
    start = np.zeros((2, mdp.num_states))
    last = _loop(_backed_up, mdp, start, temperature, tolerance, max_iterations)
    return _solution(mdp.discount, last, temperature, tolerance, "soft value iteration")


def soft_policy_iteration(
    mdp: AbstractMDP, *, temperature: Scalar, tolerance: float = 1e-6, max_iterations: int = 100
) -> SoftSolution:
    r"""Evaluate π exactly, improve it to $\pi(a|s) \propto e^{Q^\pi(s,a)/\tau}$, and repeat.

    Haarnoja et al. (2018), lemmas 1–2 and theorem 1: no state's value ever falls. One dense solve,
    $O(|S|^3)$, an iteration, of which it needs few. It begins with the uniform policy, at γ = 1
    with one that ends. Stopping, gradients and errors as in `soft_value_iteration`.
    """
    _check_settings(temperature, tolerance, max_iterations)
    policy = _ending_start(mdp)
    start = in_float64(_evaluate)(mdp, policy, temperature)
    last = _loop(_re_evaluated, mdp, start, temperature, tolerance, max_iterations)
    return _solution(mdp.discount, last, temperature, tolerance, "soft policy iteration")


class _Sweep(NamedTuple):
    r"""`steps`: the mean number of steps to the end, kept at γ = 1 only. `values`: $BV$."""

    iteration: Int[AnyArray, ""]
    before: Float[AnyArray, " states"]
    steps: Float[AnyArray, " states"]
    action_values: Float[AnyArray, "states actions"]
    values: Float[AnyArray, " states"]
    error: Float[AnyArray, ""]


@in_float64
@functools.partial(jax.jit, static_argnums=0)
def _loop(
    advance: Callable[[AbstractMDP, _Sweep, Scalar], Float[Array, "2 states"]],
    mdp: AbstractMDP,
    start: Float[AnyArray, "2 states"],
    temperature: Scalar,
    tolerance: Scalar,
    max_iterations: int | Int[Array, ""],
) -> _Sweep:
    """Sweep, and advance to the next values and mean steps, until the error is within tolerance."""

    def sweep(iteration, start):
        before, steps = start
        q = lookahead(mdp, before)
        values = _soft_maximum(mdp, q, temperature)
        error = lax.stop_gradient(_error(mdp, before, values, steps, temperature))
        return _Sweep(jnp.asarray(iteration), before, steps, q, values, error)

    def unfinished(last):
        going = (last.iteration < max_iterations) & ~(last.error <= tolerance)
        return going & jnp.isfinite(last.values).all()

    def step(last):
        return sweep(last.iteration + 1, advance(mdp, last, temperature))

    return lax.while_loop(unfinished, step, sweep(1, start))


def _backed_up(mdp: AbstractMDP, last: _Sweep, temperature: Scalar) -> Float[Array, "2 states"]:
    if mdp.discount < 1:
        return jnp.stack([last.values, last.steps])
    policy = _gibbs(last.action_values, temperature)
    steps = 1 + jnp.sum(policy * mdp.expected(last.steps), axis=1)
    return jnp.stack([last.values, jnp.where(mdp.terminal, 0, steps)])


def _re_evaluated(mdp: AbstractMDP, last: _Sweep, temperature: Scalar) -> Float[Array, "2 states"]:
    return _evaluate(mdp, _gibbs(last.action_values, temperature), temperature)


def _evaluate(
    mdp: AbstractMDP, policy: Float[AnyArray, "states actions"], temperature: Scalar
) -> Float[Array, "2 states"]:
    """The soft values of a policy; and its mean steps to the end, discounted likewise."""
    live = ~jnp.asarray(mdp.terminal)
    # What is never done adds no entropy, and must not send log 0 into a gradient.
    log_policy = jnp.log(jnp.where(policy > 0, policy, 1))
    gain = jnp.sum(policy * (mdp.reward - temperature * log_policy), axis=1)
    dynamics = jnp.where(live[:, None], mdp.policy_matrix(policy), 0)
    earned = jnp.where(live, jnp.stack([gain, jnp.ones_like(gain)]), 0)
    matrix = jnp.eye(mdp.num_states) - mdp.discount * dynamics
    return jnp.linalg.solve(matrix, earned.T).T


def _gibbs(
    action_values: Float[AnyArray, "*batch actions"], temperature: Scalar
) -> Float[Array, "*batch actions"]:
    return jax.nn.softmax(jnp.asarray(action_values) / temperature, axis=-1)


def _soft_maximum(
    mdp: AbstractMDP, action_values: Float[AnyArray, "states actions"], temperature: Scalar
) -> Float[Array, " states"]:
    top = lax.stop_gradient(jnp.max(action_values, axis=1, keepdims=True))
    total = jnp.sum(jnp.exp((action_values - top) / temperature), axis=1)
    return jnp.where(mdp.terminal, 0, top[:, 0] + temperature * jnp.log(total))


def _error(
    mdp: AbstractMDP,
    before: Float[Array, " states"],
    values: Float[Array, " states"],
    steps: Float[Array, " states"],
    temperature: Scalar,
) -> Float[Array, ""]:
    """The bound of the module docstring; at γ = 1 infinite while nothing is known."""
    terms = mdp.probability.shape[1] if isinstance(mdp, SuccessorMDP) else mdp.num_states
    size = jnp.max(jnp.abs(mdp.reward)) + jnp.max(jnp.abs(before))
    spread = temperature * (1 + np.log(mdp.num_actions))
    unit = np.finfo(np.float64).eps
    rounding = unit * ((terms + 8) * size + (mdp.num_actions + 8) * spread)
    residual = jnp.max(jnp.abs(values - before)) + rounding
    if mdp.discount < 1:
        return rounding + mdp.discount * residual / (1 - mdp.discount)
    # Where a policy all but never ends, the matrix is nearly singular and steps may turn negative.
    longest = jnp.maximum(jnp.max(jnp.abs(steps)), 1)
    finite = 4 * residual * longest**2 <= temperature
    return jnp.where(finite, 2 * residual * longest, jnp.inf)


def _check_settings(temperature: Scalar, tolerance: float, max_iterations: int) -> None:
    validate.positive("temperature", temperature)
    validate.positive("tolerance", tolerance)
    validate.count("max_iterations", max_iterations)


def _ending_start(mdp: AbstractMDP) -> Float[AnyArray, "states actions"]:
    """The uniform policy; at γ = 1, unless the tables are traced, one known to end quickly."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(mdp))
    if mdp.discount < 1 or traced:
        return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    with jax.ensure_compile_time_eval():
        return np.eye(mdp.num_actions)[ending_policy(mdp)]


@in_float64
def _solution(
    discount: float, last: _Sweep, temperature: Scalar, tolerance: float, method: str
) -> SoftSolution:
    converged = jnp.asarray(last.error <= tolerance)
    if discount == 1 and not isinstance(converged, Tracer) and not converged:
        raise ValueError(_NOT_CONVERGED.format(method=method, iterations=last.iteration))
    bound = last.error if discount < 1 else None
    values = last.values, last.action_values, _gibbs(last.action_values, temperature)
    return SoftSolution(*values, bound, last.iteration, converged, method)
