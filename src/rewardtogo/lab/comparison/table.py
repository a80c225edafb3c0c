"""A comparison of estimators in words, and as what JSON can hold."""

import dataclasses
import textwrap
from typing import Any

import numpy as np

from .moments import Row
from .run import Comparison


_HEAD = ("estimator", "bias", "±", "variance", "±", "MSE", "cosine", "µs", "policy", "needs")
_LEGEND = (
    "Sorted by mean squared error, bias² + variance. A bias without ± is exact, a sum over times, "
    "states and actions; 0 is within rounding. ± holds at 95 %. Variance: the trace of one "
    "estimate's covariance. Cosine: of the estimate's mean with ∇J_H. µs: to weigh one "
    "trajectory's scores. Policy: whose trajectories. Needs: what must be known beside them."
)

# Effective trajectories below which the largest weights have not been seen yet.
_FEW = 1000


def by_error(comparison: Comparison) -> list[Row]:
    """The rows, the least mean squared error first."""
    return sorted(comparison.rows, key=lambda row: row.mean_squared_error)


def table(comparison: Comparison, *, title: str, explain: bool = False) -> str:
    """Columns of plain text under a few lines on the setting; `explain` adds each formula."""
    size = float(np.linalg.norm(comparison.gradient))
    cells = [_HEAD, *(_cells(row, size) for row in by_error(comparison))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEAD))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in cells]
    parts = [*_about(comparison, title, size), "", *lines, "", *textwrap.wrap(_LEGEND, 100)]
    return "\n".join([*parts, *(["", *_explained(comparison)] if explain else [])])


def _about(comparison: Comparison, title: str, size: float) -> list[str]:
    setting, gap = comparison.setting, comparison.horizon_gap
    endless = "" if gap is None else f", ‖∇J - ∇J_H‖ = {gap:.3g} to the endless horizon"
    share = 100 * comparison.effective_share
    effective = comparison.effective_share * comparison.estimates * setting.batch
    heavy = (
        ["so few that the variance sampled of trajectory ratios is too small, and its ± with it"]
        if effective < _FEW
        else []
    )
    return [
        f"{title}: {setting.mdp.num_states} states, {setting.mdp.num_actions} actions, "
        f"discount {setting.mdp.discount:g}, horizon {setting.horizon}",
        f"{comparison.estimates:,} estimates of each, every one the mean over {setting.batch} "
        f"trajectories; {comparison.seconds:.1f} s",
        f"‖∇J_H‖ = {size:.4g}{endless}",
        f"effective sample size of ratios of whole trajectories: {share:.3g} % of those sampled",
        *heavy,
    ]


def _cells(row: Row, size: float) -> tuple[str, ...]:
    rounding = row.exact and row.bias <= 1e-10 * size
    return (
        row.estimator.name,
        "0" if rounding else f"{row.bias:.3g}",
        "" if row.exact else f"{row.bias_error:.2g}",
        f"{row.variance:.4g}",
        f"{row.variance_error:.2g}",
        f"{row.mean_squared_error:.4g}",
        "–" if row.cosine is None else f"{row.cosine:.4f}",
        f"{row.microseconds:.2f}",
        "β" if row.estimator.off_policy else "π",
        row.estimator.needs,
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    words = ("estimator", "policy", "needs")
    pairs = zip(_HEAD, row, widths, strict=True)
    return [
        cell.ljust(width) if head in words else cell.rjust(width) for head, cell, width in pairs
    ]


def _explained(comparison: Comparison) -> list[str]:
    width = max(len(row.estimator.name) for row in comparison.rows)
    return [
        f"{e.name:<{width}}  {e.meaning}  [{e.source}]"
        for e in (row.estimator for row in by_error(comparison))
    ]


def to_json(comparison: Comparison, *, name: str) -> dict[str, Any]:
    """The same, with all digits, and how far each sampled mean is from the exact one."""
    setting = comparison.setting
    return {
        "problem": name,
        "discount": setting.mdp.discount,
        "horizon": setting.horizon,
        "batch": setting.batch,
        "estimates": comparison.estimates,
        "trace_decay": setting.trace_decay,
        "n": setting.n,
        "clip": setting.clip,
        "gradient_norm": float(np.linalg.norm(comparison.gradient)),
        "endless_horizon_gap": comparison.horizon_gap,
        "effective_share": comparison.effective_share,
        "seconds": comparison.seconds,
        "estimators": [_row_json(row) for row in by_error(comparison)],
    }


def _row_json(row: Row) -> dict[str, Any]:
    estimator = row.estimator
    numbers = {
        field.name: getattr(row, field.name)
        for field in dataclasses.fields(row)
        if field.name not in ("estimator", "mean", "exact")
    }
    return {
        "name": estimator.name,
        "meaning": estimator.meaning,
        "source": estimator.source,
        "needs": estimator.needs,
        "off_policy": estimator.off_policy,
        "bias_is_exact": row.exact,
        **numbers,
    }
