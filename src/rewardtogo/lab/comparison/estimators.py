r"""Estimators of the policy gradient $\nabla J$, each a line: what it weighs the scores with.

An estimate is the mean over a batch of trajectories of
$\sum_t w_t \nabla\log\pi_\theta(a_t \mid s_t)$. On-policy ones sample π; off-policy ones sample a
behaviour policy β and differentiate π. Add one by adding it to `ESTIMATORS`; without a `mass` its
bias is estimated.
"""

import jax.numpy as jnp

from ...estimators import importance
from . import exact_means as means, weights as w
from .baselines import BASELINES as BASELINES
from .estimator import Estimator as Estimator
from .exact_means import joint
from .weights import exact, learned, off, on, powered


def _v_behaviour(context):
    return context.behaviour.v[:-1]


def _advantage(context):
    return means.advantage()(context)


def _advantage_behaviour(context):
    return means.advantage(off)(context)


def _clipped_ratio(context):
    return jnp.clip(context.ratio, 1 - context.clip, 1 + context.clip)


_GAE = "Schulman et al. (2016), eq. 16"

RETURNS = (
    Estimator(
        name="full-return",
        meaning="G_0 at every step",
        source="Williams (1992), theorem 1",
        weights=w.full_return,
        mass=means.full_return,
    ),
    Estimator(
        name="causal",
        meaning="γ^t G_t",
        source="Sutton et al. (2000), theorem 1; Sutton and Barto (2018), section 13.3",
        weights=powered(w.to_go),
        mass=joint(means.q()),
    ),
    Estimator(
        name="causal-no-power",
        meaning="G_t; its target is Σ_t Σ_s d_t(s) Σ_a ∇π Q_t",
        source="Thomas (2014), Nota and Thomas (2020)",
        weights=w.to_go,
        mass=joint(means.q(), powers=False),
    ),
)

CRITICS = (
    Estimator(
        name="exact-q",
        meaning="γ^t Q_t(s_t, a_t)",
        source="Sutton et al. (2000), theorem 1",
        weights=powered(w.weigh_exactly(means.q())),
        mass=joint(means.q()),
        needs="Q",
    ),
    Estimator(
        name="exact-advantage",
        meaning="γ^t A_t(s_t, a_t)",
        source="Schulman et al. (2016), section 2",
        weights=powered(w.weigh_exactly(_advantage)),
        mass=joint(_advantage),
        needs="Q, V",
    ),
    Estimator(
        name="td",
        meaning="γ^t δ_t of V",
        source="Sutton and Barto (2018), section 13.5",
        weights=powered(w.gae(on, exact, trace_decay=0.0)),
        mass=joint(means.td_error(exact)),
        needs="V",
    ),
    Estimator(
        name="td-learned",
        meaning="γ^t δ_t of V̂",
        source="Sutton and Barto (2018), section 13.5",
        weights=powered(w.gae(on, learned, trace_decay=0.0)),
        mass=joint(means.td_error(learned)),
        needs="V̂",
    ),
    Estimator(
        name="n-step-learned",
        meaning="γ^t (G_t^(n) - V̂(s_t)), n rewards, then V̂",
        source="Mnih et al. (2016), section 4",
        weights=powered(w.n_step),
        mass=joint(means.n_step),
        needs="V̂",
    ),
    Estimator(
        name="lambda-return",
        meaning="γ^t G_t^λ of V̂",
        source="Sutton and Barto (2018), eq. 12.9",
        weights=powered(w.lambda_return),
        mass=joint(means.lambda_return),
        needs="V̂",
    ),
    Estimator(
        name="gae",
        meaning="γ^t Σ_l (γλ)^l δ_{t+l} of V",
        source=_GAE,
        weights=powered(w.gae(on, exact)),
        mass=joint(means.gae(exact)),
        needs="V",
    ),
    Estimator(
        name="gae-learned",
        meaning="γ^t Σ_l (γλ)^l δ_{t+l} of V̂",
        source=_GAE,
        weights=powered(w.gae(on, learned)),
        mass=joint(means.gae(learned)),
        needs="V̂",
    ),
)

RATIOS = (
    Estimator(
        name="trajectory-ratio",
        meaning="γ^t ρ_{0:H-1} G_t",
        source="Precup, Sutton and Singh (2000), section 2",
        weights=powered(w.corrected(importance.trajectory_ratio, w.to_go)),
        mass=joint(means.q()),
        needs="β",
        off_policy=True,
    ),
    Estimator(
        name="per-decision-ratio",
        meaning="γ^t Σ_{k≥t} γ^{k-t} ρ_{0:k} r_k",
        source="Precup, Sutton and Singh (2000), section 3",
        weights=powered(w.per_decision),
        mass=joint(means.q()),
        needs="β",
        off_policy=True,
    ),
    Estimator(
        name="self-normalised-ratio",
        meaning="γ^t ρ_{0:H-1} G_t over the batch's mean ratio",
        source="Precup, Sutton and Singh (2000), section 2 (weighted)",
        weights=powered(w.corrected(importance.self_normalised_ratio, w.to_go)),
        mass=None,
        needs="β, batch",
        off_policy=True,
    ),
    Estimator(
        name="step-ratio",
        meaning="γ^t ρ_t G_t; its target is ∇L_β(π), not ∇J",
        source="Schulman et al. (2015), eq. 3",
        weights=powered(w.corrected(importance.step_ratio, w.to_go)),
        mass=joint(means.weighed(lambda context: context.ratio, means.q(off)), choose=off),
        needs="β",
        off_policy=True,
    ),
    Estimator(
        name="step-ratio-advantage",
        meaning="γ^t ρ_t A^β_t(s_t, a_t); its target is ∇L_β(π)",
        source="Schulman et al. (2015), eq. 3",
        weights=powered(w.corrected(importance.step_ratio, w.weigh_exactly(_advantage_behaviour))),
        mass=joint(means.weighed(lambda context: context.ratio, _advantage_behaviour), choose=off),
        needs="β, Q, V",
        off_policy=True,
    ),
    Estimator(
        name="vtrace",
        meaning="γ^t ρ̂_t (r_t + γ v_{t+1} - V(s_t)), ρ̂_t = min(1, ρ_t), v V-trace's target of V",
        source="Espeholt et al. (2018), section 4.2",
        weights=powered(w.vtrace(exact)),
        mass=joint(means.vtrace(exact), choose=off),
        needs="β, V",
        off_policy=True,
    ),
    Estimator(
        name="vtrace-learned",
        meaning="γ^t ρ̂_t (r_t + γ v_{t+1} - V̂(s_t)), of V̂",
        source="Espeholt et al. (2018), section 4.2",
        weights=powered(w.vtrace(learned)),
        mass=joint(means.vtrace(learned), choose=off),
        needs="β, V̂",
        off_policy=True,
    ),
    Estimator(
        name="clipped-ratio",
        meaning="γ^t clip(ρ_t, 1 - ε, 1 + ε) G_t",
        source="Ionides (2008), section 2; MiniMax (2025), section 3.1",
        weights=powered(w.clipped_ratio),
        mass=joint(means.weighed(_clipped_ratio, means.q(off)), choose=off),
        needs="β",
        off_policy=True,
    ),
    Estimator(
        name="no-ratio",
        meaning="γ^t G_t, as if β were π",
        source="Degris, White and Sutton (2012), section 2, left uncorrected",
        weights=powered(w.to_go),
        mass=joint(means.q(off), choose=off),
        off_policy=True,
    ),
    Estimator(
        name="no-ratio-value",
        meaning="γ^t (G_t - V^β_t(s_t)), as if β were π: this baseline moves the mean",
        source="Degris, White and Sutton (2012), section 2, left uncorrected",
        weights=powered(w.less(_v_behaviour)),
        mass=joint(_advantage_behaviour, choose=off),
        needs="V",
        off_policy=True,
    ),
    Estimator(
        name="clipped-advantage",
        meaning="the clipped surrogate's gradient with γ^t A^β_t(s_t, a_t)",
        source="Schulman et al. (2017), eq. 7",
        weights=powered(w.clipped(w.weigh_exactly(_advantage_behaviour))),
        mass=joint(means.clipped, choose=off),
        needs="β, Q, V",
        off_policy=True,
    ),
    Estimator(
        name="clipped-gae",
        meaning="the clipped surrogate's gradient with γ^t Σ_l (γλ)^l δ_{t+l} of V̂^β",
        source="Schulman et al. (2017), eq. 7",
        weights=powered(w.clipped(w.gae(off, learned))),
        mass=None,
        needs="β, V̂",
        off_policy=True,
    ),
)

ESTIMATORS: tuple[Estimator, ...] = (*RETURNS, *BASELINES, *CRITICS, *RATIOS)

CONTROL_ON = next(e for e in CRITICS if e.name == "exact-advantage")
CONTROL_OFF = next(e for e in RATIOS if e.name == "step-ratio-advantage")
"""Known means and little variance: what an estimated bias is measured against."""
