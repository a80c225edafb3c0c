r"""Run every estimator on the same trajectories, and hold it against the exact gradient."""

import dataclasses
import time
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ... import validate
from ...progress import Progress
from ...tabular.exact.gradient import finite_horizon_gradient, gradient_by_theorem
from ...tabular.successors import dense
from ...types import AnyArray
from .context import Context, Setting, make_context
from .estimators import CONTROL_OFF, CONTROL_ON, ESTIMATORS, Estimator
from .exact_means import joint, mean
from .moments import ErrorMoments, Row, summarise
from .sampling import Batch, sample, sampler


# A chunk's weights should stay in the cache: 2,000 trajectories of 100 steps.
_STEPS_PER_CHUNK = 200_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    r"""A table of estimators.

    `gradient`: the exact $\nabla J_H$. `horizon_gap`: $\|\nabla J - \nabla J_H\|$ to the endless
    horizon, None at γ = 1. `effective_share`: $1/E_\beta[\rho^2]$, the share of trajectories that
    a trajectory ratio leaves. `rows`: in the order asked for. `estimates`: how many of each,
    every one the mean over `setting.batch` trajectories.
    """

    setting: Setting
    gradient: Float[np.ndarray, " parameters"]
    horizon_gap: float | None
    effective_share: float
    estimates: int
    seconds: float
    rows: tuple[Row, ...]


def compare(
    setting: Setting,
    *,
    estimators: Sequence[Estimator] = ESTIMATORS,
    trajectories: int = 100_000,
    key: PRNGKeyArray,
    quiet: bool = True,
) -> Comparison:
    """Bias, variance, mean squared error, cosine and cost of `estimators`, in float64.

    The same trajectories serve all on-policy estimators, others all off-policy ones, so that rows
    can be compared. `trajectories` is rounded up to whole chunks. `quiet` False shows progress.

    **Raises:** `ValueError` unless there are trajectories for at least two estimates.
    """
    check_trajectories(trajectories, batch=setting.batch)
    began = time.monotonic()
    with jax.enable_x64(True):
        context = make_context(setting)
        gradient = _flat(finite_horizon_gradient, setting, horizon=setting.horizon)
        chosen = _with_controls(estimators)
        exact = _exact_means(chosen, context)
        moments, cost = _sampled(setting, context, chosen, trajectories, key, quiet)
        rows = summarise(chosen, moments, exact, gradient, cost)
    return Comparison(
        setting=setting,
        gradient=gradient,
        horizon_gap=_horizon_gap(setting, gradient),
        effective_share=float(1 / context.second_moment),
        estimates=moments.count,
        seconds=time.monotonic() - began,
        rows=tuple(rows[chosen.index(estimator)] for estimator in estimators),
    )


def check_trajectories(trajectories: int, *, batch: int) -> None:
    """**Raises:** `ValueError` unless two estimates can be had."""
    validate.count("trajectories", trajectories)
    if trajectories < 2 * batch:
        raise ValueError(
            f"`trajectories` must be at least twice `batch`, 2 × {batch}; got {trajectories}."
        )


def named(names: Sequence[str]) -> tuple[Estimator, ...]:
    """The estimators of these names, all if there are none.

    **Raises:** `ValueError`, with the nearest spelling, for an unknown one, and for a repeated one.
    """
    known = {estimator.name: estimator for estimator in ESTIMATORS}
    for name in names:
        validate.one_of("estimator", name, known)
    if len(set(names)) < len(names):
        raise ValueError(f"an estimator is named twice: {', '.join(names)}.")
    return tuple(known[name] for name in names) if names else ESTIMATORS


def _flat(gradient, setting: Setting, **horizon: int) -> Float[np.ndarray, " parameters"]:
    compute = lambda theta: gradient(dense(setting.mdp), setting.policy, theta, **horizon)
    return np.asarray(ravel_pytree(jax.jit(compute)(setting.theta))[0])


def _horizon_gap(setting: Setting, gradient) -> float | None:
    if setting.mdp.discount == 1:
        return None
    with jax.enable_x64(True):
        return float(np.linalg.norm(_flat(gradient_by_theorem, setting) - gradient))


def _with_controls(estimators: Sequence[Estimator]) -> list[Estimator]:
    """Those asked for, and the controls of those whose mean is no finite sum."""
    controls = [control_of(e) for e in estimators if e.mass is None]
    return list(dict.fromkeys([*estimators, *controls]))


def control_of(estimator: Estimator) -> Estimator:
    """What an estimated mean is measured against: the same samples, an exact mean."""
    return CONTROL_OFF if estimator.off_policy else CONTROL_ON


def _exact_means(estimators: Sequence[Estimator], context: Context):
    def compute(context: Context) -> list[Array | None]:
        none = joint(lambda context: jnp.ones_like(context.target.q))(context)
        score = mean(none, context)  # 0 but for rounding: no baseline moves the mean
        return [_exact_mean(e, context, score) for e in estimators]

    values = eqx.filter_jit(compute)(context)
    return [None if value is None else np.asarray(value) for value in values]


def _exact_mean(
    estimator: Estimator, context: Context, score: Float[Array, " parameters"]
) -> Array | None:
    if estimator.mass is None:
        return None
    whole = mean(estimator.mass(context), context)
    return (
        whole
        if estimator.by_parameter is None
        else whole - jnp.asarray(estimator.by_parameter(context)) * score
    )


def _sampled(setting: Setting, context: Context, chosen, trajectories: int, key, quiet: bool):
    """Moments of the estimates, and the least seconds a trajectory that each took."""
    n = setting.batch
    estimates = -(-trajectories // n)
    most = max(1, _STEPS_PER_CHUNK // (setting.horizon * n))
    chunks = -(-estimates // most)
    size = -(-estimates // chunks)
    moments = ErrorMoments(len(chosen), [chosen.index(c) for c in _control_rows(chosen)])
    run = _Chunk(setting, context, chosen, size)
    total = chunks * size * n
    with Progress(total, unit="trajectories", quiet=quiet) as progress:
        progress.begin()
        for i in range(chunks):
            moments.add(run(jr.fold_in(key, i)))
            progress.update((i + 1) * size * n, "")
    return moments, run.seconds / (size * n)


def _control_rows(chosen: Sequence[Estimator]) -> list[Estimator]:
    """One a row: its control where it needs one, itself where it does not."""
    return [control_of(e) if e.mass is None else e for e in chosen]


class _Chunk:
    """Samples a chunk and gives `[estimators, estimates, parameters]`; keeps the time of each."""

    def __init__(self, setting: Setting, context: Context, chosen, size: int):
        self._context = jax.tree.map(jnp.asarray, context)
        self._chosen = chosen
        self._samplers = {
            off: sampler(context.mdp, policy.probability)
            for off, policy in ((False, context.target), (True, context.behaviour))
            if any(e.off_policy == off for e in chosen)
        }
        shape = {"horizon": setting.horizon, "batches": size, "batch": setting.batch}
        self._sample = jax.jit(lambda tables, key: sample(tables, **shape, key=key))
        self._weights = [_batched(estimator) for estimator in chosen]
        self._score = np.asarray(context.score)
        self.seconds = np.full(len(chosen), np.inf)

    def __call__(self, key: PRNGKeyArray) -> Float[np.ndarray, "estimators estimates parameters"]:
        rows = {}
        for off, tables in self._samplers.items():
            batch = jax.block_until_ready(self._sample(tables, jr.fold_in(key, off)))
            entry = _entries(batch, self._score.shape[:2])
            for i, estimator in enumerate(self._chosen):
                if estimator.off_policy == off:
                    rows[i] = self._row(i, batch, entry)
        return np.stack([rows[i] for i in range(len(self._chosen))])

    def _row(
        self, i: int, batch: Batch, entry: Int[np.ndarray, "time estimates batch"]
    ) -> Float[np.ndarray, "estimates parameters"]:
        estimates = _estimates(entry, self._timed(i, batch), self._score)
        by_parameter = self._chosen[i].by_parameter
        if by_parameter is None:
            return estimates
        powers = np.broadcast_to(np.asarray(self._context.powers)[:, None, None], entry.shape)
        return estimates - np.asarray(by_parameter(self._context)) * _estimates(
            entry, powers, self._score
        )

    def _timed(self, i: int, batch: Batch) -> Array:
        began = time.perf_counter()
        weights = jax.block_until_ready(self._weights[i](batch, self._context))
        # The least: the first call compiles, and others share the machine.
        self.seconds[i] = min(self.seconds[i], time.perf_counter() - began)
        return weights


def _batched(estimator: Estimator):
    """Its weights for `[time, estimates, batch]`."""
    return eqx.filter_jit(jax.vmap(estimator.weights, in_axes=(1, None), out_axes=1))


def _entries(batch: Batch, shape: tuple[int, int]) -> Int[np.ndarray, "time estimates batch"]:
    """A number for each (estimate, state, action); what is outside the mask goes beyond them."""
    states, actions = shape
    mask = np.asarray(batch.mask)
    estimate = np.arange(mask.shape[1])[None, :, None] * states * actions
    entry = estimate + np.asarray(batch.state) * actions + np.asarray(batch.action)
    return np.where(mask, entry, mask.shape[1] * states * actions)


def _estimates(
    entry: Int[np.ndarray, "time estimates batch"],
    weights: Float[AnyArray, "time estimates batch"],
    score: Float[np.ndarray, "states actions parameters"],
) -> Float[np.ndarray, "estimates parameters"]:
    r"""$\frac1N \sum_i \sum_t w^i_t \nabla\log\pi(a^i_t \mid s^i_t)$ for each estimate.

    Weights are summed by state and action first, since the scores are few and the steps many.
    NumPy counts ten times as fast as XLA scatters on a CPU.
    """
    _, count, size = entry.shape
    entries = score.shape[0] * score.shape[1]
    sums = np.bincount(
        entry.ravel(), weights=np.asarray(weights).ravel(), minlength=count * entries + 1
    )
    return sums[:-1].reshape(count, entries) @ score.reshape(entries, -1) / size
