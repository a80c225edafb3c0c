"""Off-policy prediction in words, as JSON, and drawn as in Sutton and Barto (2018), chapter 11."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...figures import new_figure, save_figure
from ...statistics import Interval, curve_band, stratified_bootstrap
from ..columns import columns
from .run import OffPolicyPrediction, Updates


if TYPE_CHECKING:
    from matplotlib.axes import Axes


type Found = Mapping[Updates, OffPolicyPrediction]
"""What one method learned, from samples and in the mean."""

_ROWS = 6
_HEAD = ("steps", "√VE", "expected", "√PBE", "expected")
# Okabe and Ito (2008), as in `plot`.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")


def as_text(found: Found, rates: Mapping[float, float], *, title: str, seconds: float) -> str:
    """Errors over steps for each step size, and whether expected updates diverge."""
    sampled = found[Updates.SAMPLED]
    seeds = sampled.weights.shape[1]
    lines = [
        title,
        f"{seeds} seeds of {sampled.steps[-1]:,} steps, and expected updates; {seconds:.1f} s, "
        "compiling included; means over seeds, [95 % interval]",
    ]
    for i, size in enumerate(sampled.step_sizes):
        lines += ["", f"α = {size:g}: {_verdict(rates[size])}", ""]
        lines += columns([_HEAD, *(_row(found, i, at) for at in _shown(len(sampled.steps)))])
    return "\n".join(lines)


def _verdict(rate: float) -> str:
    # Directions that the features leave open keep what they have: a rate of exactly 0.
    if rate > 1e-9:
        return f"expected updates diverge, by exp({rate:.4g}) a step"
    if rate < -1e-9:
        return f"expected updates converge, in the end by exp({rate:.4g}) a step"
    return "expected updates stay bounded"


def _shown(points: int) -> list[int]:
    return sorted({(points - 1) * i // _ROWS for i in range(_ROWS + 1)})


def _row(found: Found, i: int, at: int) -> list[str]:
    sampled, expected = found[Updates.SAMPLED], found[Updates.EXPECTED]
    cells = [f"{sampled.steps[at]:,}"]
    for error in ("value_error", "projected_error"):
        cells.append(str(_mean(getattr(sampled, error)[i, :, at])))
        cells.append(f"{getattr(expected, error)[i, 0, at]:.4g}")
    return cells


def _mean(values: np.ndarray) -> Interval | str:
    if not np.isfinite(values).all():
        return "overflowed"
    return stratified_bootstrap(values, np.mean, seed=0)


def as_json(found: Found, rates: Mapping[float, float], *, title: str) -> dict[str, Any]:
    """Every error of every seed, null where it overflowed, and the weights in the end."""
    listed = lambda x: [[float(v) if np.isfinite(v) else None for v in row] for row in x]
    first = found[Updates.SAMPLED]
    return {
        "title": title,
        "steps": first.steps.tolist(),
        "results": [
            {
                "step_size": size,
                "growth_rate": rates[size],
                **{
                    updates.value: {
                        "value_error": listed(run.value_error[i]),
                        "projected_error": listed(run.projected_error[i]),
                        "weights": listed(run.weights[i, :, -1]),
                    }
                    for updates, run in found.items()
                },
            }
            for i, size in enumerate(first.step_sizes)
        ],
    }


def draw(found: Found, path: Path, *, title: str) -> Path:
    """Left the weights of the first seed, then in the mean; right the errors; first step size."""
    drawing = new_figure((11.0, 3.6))
    *components, errors = drawing.subplots(1, 3)
    for axes, (updates, run) in zip(components, found.items(), strict=True):
        _weights(axes, run, f"weights, {updates.value} updates")
    _errors(errors, found)
    for axes in (*components, errors):
        axes.set_xlabel("steps")
        axes.grid(color="0.92", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    size = found[Updates.SAMPLED].step_sizes[0]
    drawing.suptitle(f"{title}, α = {size:g}", fontsize="medium", fontweight="bold")
    return save_figure(drawing, path)


def _weights(axes: "Axes", run: OffPolicyPrediction, name: str) -> None:
    weights = run.weights[0, 0]
    few = weights.shape[1] <= len(_COLOURS)
    for j in range(weights.shape[1]):
        colour = _COLOURS[j] if few else "0.6"
        axes.plot(run.steps, weights[:, j], color=colour, linewidth=1, label=f"w{j + 1}")
    axes.set_title(name, loc="left", fontsize="medium")
    if few:
        axes.legend(frameon=False, fontsize="x-small", ncols=2)


def _errors(axes: "Axes", found: Found) -> None:
    sampled, expected = found[Updates.SAMPLED], found[Updates.EXPECTED]
    for colour, (error, name) in zip(
        _COLOURS, (("value_error", "√VE"), ("projected_error", "√PBE")), strict=False
    ):
        runs = [run for run in getattr(sampled, error)[0] if np.isfinite(run).all()]
        if runs:
            band = curve_band([sampled.steps] * len(runs), runs, np.mean, resamples=200)
            axes.plot(band.steps, band.center, color=colour, label=name)
            if band.low is not None and band.high is not None:
                axes.fill_between(
                    band.steps, band.low, band.high, color=colour, alpha=0.2, linewidth=0
                )
        mean = getattr(expected, error)[0, 0]
        axes.plot(
            expected.steps,
            mean,
            color=colour,
            linestyle="--",
            linewidth=1,
            label=f"{name}, expected",
        )
    axes.set_yscale("log")
    # Where expected updates have arrived, rounding would take most of the picture.
    axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-4))
    axes.set_title("errors, bands 95 %", loc="left", fontsize="medium")
    axes.legend(frameon=False, fontsize="x-small")
