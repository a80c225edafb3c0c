r"""The best that can be done in a fixed number of steps.

$$V_H = 0, \qquad Q_t(s,a) = r(s,a) + \gamma \sum_{s'} P(s' \mid s,a) V_{t+1}(s'), \qquad
V_t(s) = \max_a Q_t(s,a)$$

Puterman (1994), section 4.5. No policy does better, be it random or a function of the whole past,
and a deterministic one that sees the state and the time attains it. γ = 1 needs no care here.
"""

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Float, Int

from ... import validate
from ...types import AnyArray
from ..exact.evaluation import lookahead
from ..mdp import AbstractMDP
from ..precision import in_float64


@in_float64
def optimal_finite_horizon(
    mdp: AbstractMDP, *, horizon: int
) -> tuple[
    Float[AnyArray, "horizon states"],
    Float[AnyArray, "horizon states actions"],
    Int[AnyArray, "horizon states"],
]:
    r"""$V_t$, $Q_t$ and an optimal $\pi_t$ for $t = 0, \dots, H-1$, by backward induction.

    Puterman (1994), section 4.5. `horizon` sweeps; where actions tie, the first is taken. Values at
    time $t$ are discounted to $t$, not to 0.

    **Raises:** `ValueError` unless `horizon` is a whole number of at least 1.
    """
    validate.count("horizon", horizon)

    def backward(later, _):
        q = lookahead(mdp, later)
        values = q.max(axis=1)
        return values, (values, q, q.argmax(axis=1))

    start = jnp.zeros(mdp.num_states)
    return lax.scan(backward, start, length=horizon, reverse=True, xs=None)[1]


@in_float64
def optimal_finite_horizon_return(mdp: AbstractMDP, *, horizon: int) -> Float[AnyArray, ""]:
    r"""$\sum_s \mu_0(s) V_0(s)$: as `optimal_finite_horizon`, but only one $V_t$ is ever held.

    **Raises:** `ValueError` unless `horizon` is a whole number of at least 1.
    """
    validate.count("horizon", horizon)
    backward = lambda _, later: lookahead(mdp, later).max(axis=1)
    return mdp.initial @ lax.fori_loop(0, horizon, backward, jnp.zeros(mdp.num_states))
