"""Estimators that differ by what they subtract from the return."""

import jax.numpy as jnp

from . import exact_means as means, weights as w
from .estimator import Estimator
from .exact_means import joint
from .weights import powered


_WEAVER = "Weaver and Tao (2001)"
_GREENSMITH = "Greensmith, Bartlett and Baxter (2004), section 4"


def _v(context):
    return context.target.v[:-1]


def _v_learned(context):
    return context.target.learned[:-1]


def _optimal_by_step(context):
    return context.optimal_by_step[:, None] * jnp.ones_like(context.target.visits)


def _optimal_constant(context):
    return jnp.full_like(context.target.visits, context.optimal_constant)


def _baseline(name, meaning, source, table, needs) -> Estimator:
    return Estimator(
        name=name,
        meaning=meaning,
        source=source,
        weights=powered(w.less(table)),
        mass=joint(means.less(table)),
        needs=needs,
    )


BASELINES = (
    _baseline("constant", "γ^t (G_t - J)", "Williams (1992)", means.start_value, "J"),
    _baseline("by-time", "γ^t (G_t - E[G_t])", _GREENSMITH, means.expected_returns, "E[G_t]"),
    _baseline("optimal-constant", "γ^t (G_t - b*)", _WEAVER, _optimal_constant, "b*"),
    _baseline("optimal-by-time", "γ^t (G_t - b*_t)", _GREENSMITH, _optimal_by_step, "b*_t"),
    Estimator(
        name="optimal-by-parameter",
        meaning="Σ_t γ^t g_{t,j} (G_t - b*_j), a number for each parameter j",
        source="Peters and Schaal (2008), section 3.2",
        weights=powered(w.to_go),
        mass=joint(means.q()),
        by_parameter=lambda context: context.optimal_by_parameter,
        needs="b*_j",
    ),
    _baseline("value", "γ^t (G_t - V_t(s_t))", "Sutton et al. (2000), theorem 1", _v, "V"),
    _baseline("learned-value", "γ^t (G_t - V̂(s_t))", _GREENSMITH, _v_learned, "V̂"),
    Estimator(
        name="batch-mean",
        meaning="γ^t (G_t - mean of the batch's G_t); its mean is (1 - 1/N) ∇J",
        source=_GREENSMITH,
        weights=powered(w.batch_mean),
        mass=joint(means.of_batch_mean),
        needs="batch",
    ),
    Estimator(
        name="leave-one-out",
        meaning="γ^t (G_t - mean of the others' G_t)",
        source="Kool, van Hoof and Welling (2019)",
        weights=powered(w.leave_one_out),
        mass=joint(means.less(means.expected_returns)),
        needs="batch",
    ),
    Estimator(
        name="optimal-same-batch",
        meaning="γ^t (G_t - b), b = Σ_i⟨X_i, g_i⟩ / Σ_i‖g_i‖² over the batch",
        source="Weaver and Tao (2001), with sums for expectations",
        weights=powered(w.optimal_same_batch),
        needs="batch",
    ),
    Estimator(
        name="optimal-leave-one-out",
        meaning="γ^t (G_t - b), b = Σ_i⟨X_i, g_i⟩ / Σ_i‖g_i‖² over the others",
        source="Weaver and Tao (2001), with sums over the others for expectations",
        weights=powered(w.optimal_leave_one_out),
        needs="batch",
    ),
)
