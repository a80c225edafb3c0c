r"""Values of a policy π from steps that another policy β took, along stored steps.

Arrays are time-major, `[time, *batch]`, and borders are those of `estimators.returns`: `terminated`
makes the successor worth 0, `truncated` bootstraps from it, no trace crosses either, and the last
row counts as truncated. Each row has its ratio $\rho_t = \pi(a_t \mid s_t) / \beta(a_t \mid s_t)$.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..types import Scalar
from .returns import accumulate


class VTrace(NamedTuple):
    """Both in units of return, neither normalised."""

    value_target: Float[Array, "time *batch"]
    """What $V(s_t)$ is fitted to."""
    advantage: Float[Array, "time *batch"]
    """What the score of $a_t$ under π is multiplied with; it contains the clipped ratio."""


def vtrace(
    reward: Float[Array, "time *batch"],
    value: Float[Array, "time *batch"],
    next_value: Float[Array, "time *batch"],
    terminated: Bool[Array, "time *batch"],
    truncated: Bool[Array, "time *batch"],
    ratio: Float[Array, "time *batch"],
    *,
    discount: Scalar,
    trace_decay: Scalar = 1.0,
    ratio_clip: Scalar = 1.0,
    trace_clip: Scalar = 1.0,
) -> VTrace:
    r"""V-trace targets and the advantages of the policy gradient that goes with them.

    $$v_t = V(s_t) + \sum_{l=0}^{n-1} \gamma^l \Bigl(\prod_{i=t}^{t+l-1} c_i\Bigr)
    \hat\rho_{t+l}\,\delta_{t+l}, \qquad
    \hat A_t = \hat\rho_t \bigl(\delta_t + \gamma\lambda (v_{t+1} - V(s_{t+1}))\bigr)$$

    with $\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$, $\hat\rho_t = \min(\bar\rho, \rho_t)$ and
    $c_t = \lambda \min(\bar c, \rho_t)$. Espeholt et al. (2018), eq. 1, remark 2 and section 4.2,
    where λ is 1 in the advantage; so taken, $\hat A$ is the generalised advantage of ratios 1.

    $\bar\rho$ decides what is estimated, $V$ of $\pi_{\bar\rho} \propto \min(\bar\rho\beta, \pi)$,
    which is π for $\bar\rho = \infty$; $\bar c$ and λ decide how fast and with what variance.

    **Arguments:** in units of reward and return; `ratio`: $\rho_t \ge 0$, a constant; `ratio_clip`:
    $\bar\rho$; `trace_clip`: $\bar c$, at most $\bar\rho$ in the paper; both may be infinite.
    """
    bootstrap = jnp.where(terminated, 0, next_value)
    td_error = reward + discount * bootstrap - value
    going_on = jnp.where(terminated | truncated, 0, discount * trace_decay).astype(td_error.dtype)
    clipped = jnp.minimum(ratio_clip, ratio).astype(td_error.dtype)
    decay = going_on * jnp.minimum(trace_clip, ratio).astype(td_error.dtype)
    correction = accumulate(clipped * td_error, decay, jnp.zeros_like(td_error[0]))
    after = jnp.concatenate([correction[1:], jnp.zeros_like(correction[:1])])
    return VTrace(value + correction, clipped * (td_error + going_on * after))


def retrace(
    reward: Float[Array, "time *batch"],
    q: Float[Array, "time *batch"],
    next_value: Float[Array, "time *batch"],
    terminated: Bool[Array, "time *batch"],
    truncated: Bool[Array, "time *batch"],
    ratio: Float[Array, "time *batch"],
    *,
    discount: Scalar,
    trace_decay: Scalar,
) -> Float[Array, "time *batch"]:
    r"""Retrace(λ) targets of action values.

    $$G_t = Q(s_t, a_t) + \sum_{l=0}^{n-1} \gamma^l \Bigl(\prod_{i=t+1}^{t+l} c_i\Bigr)
    \bigl(r_{t+l} + \gamma E_\pi Q(s_{t+l+1}, \cdot) - Q(s_{t+l}, a_{t+l})\bigr), \qquad
    c_i = \lambda \min(1, \rho_i)$$

    Munos et al. (2016), eqs. 3 and 4. Its fixed point is $Q^\pi$ whatever β; the first action needs
    no ratio. $\lambda = 0$ is one-step expected SARSA.

    **Arguments:** in units of reward and return; `q`: $Q(s_t, a_t)$; `next_value`:
    $E_\pi Q(s_{t+1}, \cdot)$ at each row's true successor; `ratio`: $\rho_t \ge 0$, a constant.
    """
    error = reward + discount * jnp.where(terminated, 0, next_value) - q
    trace = (trace_decay * jnp.minimum(1, ratio)).astype(error.dtype)
    after = jnp.concatenate([trace[1:], jnp.zeros_like(trace[:1])])
    decay = jnp.where(terminated | truncated, 0, discount * after)
    return q + accumulate(error, decay, jnp.zeros_like(error[0]))
