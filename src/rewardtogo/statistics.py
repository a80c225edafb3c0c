"""How sure a figure is, given a few independent runs.

The unit is the run (one training seed): episodes of one run share its policy, so resampling them
would tell how well that policy is known and not how well the algorithm is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


Statistic = Callable[..., Any]
"""Reduces an array over `axis`, as `np.mean`, `np.median` and `interquartile_mean` do."""


@dataclass(frozen=True, repr=False)
class Interval:
    """An estimate with the ends of its confidence interval; no ends where there is one run."""

    estimate: float
    low: float | None
    high: float | None
    level: float

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.estimate:.4g}"
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def __repr__(self) -> str:
        of = "one run, no interval" if self.low is None else f"{100 * self.level:g} % over runs"
        return f"Interval({self}, {of})"


@dataclass(frozen=True, repr=False)
class CurveBand:
    """A learning curve over runs on common steps, with a pointwise band.

    `low` and `high` are None where there is one run. All are empty if no step is common.
    """

    steps: Float[np.ndarray, " points"]
    center: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"] | None
    high: Float[np.ndarray, " points"] | None
    runs: Float[np.ndarray, "runs points"]
    level: float

    def __repr__(self) -> str:
        if not self.steps.size:
            return f"CurveBand({len(self.runs)} runs, no common step)"
        last = Interval(
            float(self.center[-1]),
            None if self.low is None else float(self.low[-1]),
            None if self.high is None else float(self.high[-1]),
            self.level,
        )
        return f"CurveBand({len(self.runs)} runs, {last} at step {self.steps[-1]:.0f})"


def interquartile_mean(values: ArrayLike, *, axis: int | tuple[int, ...] | None = None) -> Any:
    r"""The mean of the middle half: $\lfloor n/4 \rfloor$ values are dropped at either end.

    Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice",
    section 4.3. Over all entries, or over `axis`.

    **Returns:** a float, or an array over the axes that remain.
    **Raises:** `ValueError` if there is nothing to average, or a value is NaN or infinite.
    """
    array = _finite(values)
    axes = range(array.ndim) if axis is None else np.atleast_1d(axis)
    axes = [int(a) % max(array.ndim, 1) for a in axes]
    rest = [a for a in range(array.ndim) if a not in axes]
    shape = [array.shape[a] for a in rest]
    flat = array.transpose(*rest, *axes).reshape(*shape, -1)
    count = flat.shape[-1]
    cut = count // 4
    # Sorting only as far as the two cuts is what makes thousands of resamples cheap.
    middle = np.partition(flat, (cut, count - 1 - cut), axis=-1)[..., cut : count - cut]
    means = middle.mean(axis=-1)
    return means if shape else float(means)


def stratified_bootstrap(
    values: ArrayLike,
    statistic: Statistic = interquartile_mean,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int,
) -> Interval:
    r"""A percentile interval for `statistic`, resampling runs with replacement within each task.

    Agarwal et al. (2021), section 4.1 (stratified bootstrap); Efron (1979). With few runs the
    interval is too short: at a nominal 95 % it covers the mean of 10 normal runs about 90 % of
    the time.

    **Arguments:** `values`: one figure a run, `(runs,)` or `(runs, tasks)`; a run's episodes are
    averaged first. `level`: nominal coverage in (0, 1). `seed`: of the resampling.
    **Returns:** the statistic of `values` and its interval, which one run does not have.
    **Raises:** `ValueError` for another shape, a value that is not finite, or a level or number of
    resamples out of range.
    """
    _check_bootstrap(level, resamples)
    array = _finite(values)
    if array.ndim not in (1, 2):
        raise ValueError(f"values must be (runs,) or (runs, tasks), got shape {array.shape}")
    by_task = array[:, None] if array.ndim == 1 else array
    estimate = float(statistic(by_task, axis=(0, 1)))
    runs, tasks = by_task.shape
    if runs == 1:
        return Interval(estimate, None, None, level)
    chosen = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    resampled = statistic(by_task[chosen, np.arange(tasks)], axis=(1, 2))
    low, high = np.quantile(resampled, _ends(level))
    return Interval(estimate, float(low), float(high), level)


def curve_band(
    steps_per_run: Sequence[ArrayLike],
    values_per_run: Sequence[ArrayLike | Sequence[float | None]],
    statistic: Statistic = interquartile_mean,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    points: int = 200,
    seed: int = 0,
) -> CurveBand:
    """Put the learning curves of several runs on common steps, with a pointwise bootstrap band.

    The steps are those recorded by any run where every run has data (nothing is extrapolated), or
    `points` even ones if there are more; between its own steps a run is interpolated linearly.
    NaN, infinite and None values are passed over, and so is a run without data.

    **Raises:** `ValueError` if steps and values do not pair up, or there is no data at all.
    """
    _check_bootstrap(level, resamples)
    pairs = zip(steps_per_run, values_per_run, strict=True)
    curves = [curve for curve in (_present(*pair) for pair in pairs) if curve[0].size]
    if not curves:
        raise ValueError("there is no run with data")
    steps = _common_steps([steps for steps, _ in curves], points)
    runs = np.stack([np.interp(steps, own, values) for own, values in curves])
    if len(runs) == 1 or not steps.size:
        center = runs[0] if len(runs) == 1 else runs.mean(axis=0)
        return CurveBand(steps, center, None, None, runs, level)
    chosen = np.random.default_rng(seed).integers(len(runs), size=(resamples, len(runs)))
    # Point by point: all at once would hold resamples x runs x points numbers.
    resampled = [statistic(column[chosen], axis=1) for column in runs.T]
    low, high = np.quantile(np.stack(resampled), _ends(level), axis=1)
    return CurveBand(steps, np.asarray(statistic(runs, axis=0)), low, high, runs, level)


def _finite(values: ArrayLike) -> Float[np.ndarray, "..."]:
    array = np.asarray(values, float)
    if not array.size:
        raise ValueError("there are no values")
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"values must be finite, got {array[place]} at {place}")
    return array


def _check_bootstrap(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _present(
    steps: ArrayLike, values: ArrayLike | Sequence[float | None]
) -> tuple[Float[np.ndarray, " present"], Float[np.ndarray, " present"]]:
    """What is recorded of one curve, in the order of its steps."""
    step, value = np.asarray(steps, float), np.array(values, float)
    if step.shape != value.shape or step.ndim != 1:
        raise ValueError(f"steps {step.shape} and values {value.shape} must pair up, in one row")
    present = np.isfinite(step) & np.isfinite(value)
    order = np.argsort(step[present], kind="stable")
    return step[present][order], value[present][order]


def _common_steps(
    steps: Sequence[Float[np.ndarray, " _"]], points: int
) -> Float[np.ndarray, " points"]:
    first, last = max(s[0] for s in steps), min(s[-1] for s in steps)
    recorded = np.unique(np.concatenate(steps))
    recorded = recorded[(first <= recorded) & (recorded <= last)]
    return recorded if recorded.size <= points else np.linspace(first, last, points)
