"""Bias against variance, drawn."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...figures import new_figure, save_figure
from .moments import Row
from .run import Comparison
from .table import by_error


if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Okabe and Ito (2008), as in `plot`.
_VARIANCE, _BIAS = "#0072B2", "#D55E00"


def draw(comparison: Comparison, path: Path, *, title: str) -> Path:
    """Draw `figure` into `path`, its format by the suffix; errors are those of `save_figure`."""
    return save_figure(figure(comparison, title=title), path)


def figure(comparison: Comparison, *, title: str) -> "Figure":
    r"""A line an estimator, the least error on top: variance, bias², and the gradient's own size.

    Unbiased estimators have no mark for the bias: a logarithmic axis has no zero. Where the bias
    is estimated and its interval holds 0, the mark is hollow.
    """
    rows = by_error(comparison)[::-1]
    size = float(np.linalg.norm(comparison.gradient))
    drawing = new_figure((7.2, 1.4 + 0.22 * len(rows)))
    axes = drawing.add_subplot()
    axes.set_xscale("log")
    heights = np.arange(len(rows))
    variances = [row.variance for row in rows]
    errors = [row.variance_error for row in rows]
    style = {"fmt": "o", "color": _VARIANCE, "markersize": 5, "linewidth": 1}
    axes.errorbar(variances, heights, xerr=errors, label="variance", **style)
    marked = [i for i, row in enumerate(rows) if row.bias > 1e-10 * size]
    axes.scatter(
        [rows[i].bias ** 2 for i in marked],
        marked,
        marker="D",
        s=26,
        edgecolors=_BIAS,
        facecolors=[_BIAS if _is_sure(rows[i]) else "none" for i in marked],
        label="bias² (hollow: may be 0)",
    )
    axes.axvline(max(size**2, 1e-300), color="0.6", linestyle="--", label="‖∇J‖²")
    labels = [f"{row.estimator.name}{' (β)' if row.estimator.off_policy else ''}" for row in rows]
    axes.set_yticks(heights, labels, fontsize="small")
    axes.set_title(f"{title}, {comparison.setting.batch} trajectories an estimate", loc="left")
    axes.set_xlabel("squared units of the gradient")
    axes.grid(axis="both", color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False, fontsize="small", loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.12)
    )
    return drawing


def _is_sure(row: Row) -> bool:
    return row.exact or row.bias > row.bias_error
