"""A run of control with features in words, as JSON, and drawn; Sutton and Barto, chapter 10."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from ...figures import new_figure, save_figure
from ...statistics import Interval, curve_band, stratified_bootstrap
from ..values.features import Fourier, Polynomial, TileCoding
from ..values.linear_action_values import LinearActionValues, greedy_values
from .linear_run import LinearControl


if TYPE_CHECKING:
    from matplotlib.axes import Axes


Planar = TileCoding | Fourier | Polynomial

_ROWS = 10
_LAST = 50  # episodes
_FINE = 100  # points along a side of the picture
# Okabe and Ito (2008), as in `plot`.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def as_text(result: LinearControl, *, title: str, seconds: float) -> str:
    """Steps of an episode as episodes go by, for each step size, and what the last ones return."""
    _, seeds, episodes = result.lengths.shape
    heads = "".join(f"{f'α = {size:g}':<26}" for size in result.step_sizes)
    edges = sorted({round(episodes * i / _ROWS) for i in range(_ROWS + 1)})
    lines = [
        title,
        f"{seeds} seeds of {episodes:,} episodes, {result.features.size} features an action; "
        f"{seconds:.1f} s, compiling included; means over seeds, [95 % interval]",
        "",
        f"{'steps of':>16}",
        f"{'episodes':>16}  {heads.rstrip()}",
    ]
    for first, last in itertools.pairwise(edges):
        lines.append(_row(f"{first + 1:,}–{last:,}", result.lengths[:, :, first:last]))
    lines += ["", _row("return of these", result.returns[:, :, edges[-2] :])]
    cut = result.truncated.mean(axis=(1, 2))
    if cut.any():
        shares = ", ".join(f"{100 * share:.3g} %" for share in cut)
        lines += ["", f"truncated, of all episodes: {shares}"]
    return "\n".join(lines)


def _row(name: str, values: np.ndarray) -> str:
    cells = "".join(f"{_mean(of_size)!s:<26}" for of_size in values)
    return f"{name:>16}  {cells.rstrip()}"


def _mean(values: np.ndarray) -> Interval:
    return stratified_bootstrap(values.mean(axis=1, dtype=float), np.mean, seed=0)


def as_json(result: LinearControl, *, title: str) -> dict[str, Any]:
    """Every episode of every seed."""
    return {
        "title": title,
        "features": result.features.size,
        "results": [
            {
                "step_size": size,
                "lengths": result.lengths[i].tolist(),
                "returns": result.returns[i].astype(float).tolist(),
                "truncated": result.truncated[i].tolist(),
            }
            for i, size in enumerate(result.step_sizes)
        ],
    }


def draw(result: LinearControl, path: Path, *, title: str) -> Path:
    r"""Steps an episode, on a logarithmic scale; where two numbers are observed, $-\max_a Q$ too.

    Sutton and Barto (2018), figures 10.2 and 10.1; the cost to go is that of the first seed, at
    the step size whose last episodes return most.
    """
    features = result.features
    plane = None if not isinstance(features, Planar) or features.dims != 2 else features
    drawing = new_figure((5.5, 3.8) if plane is None else (10.0, 3.8))
    steps, *rest = drawing.subplots(1, 1 if plane is None else 2, squeeze=False)[0]
    for i, size in enumerate(result.step_sizes):
        _curve(steps, result.lengths[i], _COLOURS[i % len(_COLOURS)], f"α = {size:g}")
    steps.set_yscale("log")
    steps.set_xlabel("episodes")
    steps.set_title("steps of an episode, bands 95 %", loc="left", fontsize="medium")
    steps.grid(color="0.92", linewidth=0.8, which="both")
    steps.spines[["top", "right"]].set_visible(False)
    steps.legend(frameon=False, fontsize="small")
    if plane is not None:
        _cost_to_go(rest[0], result, plane)
    drawing.suptitle(title, fontsize="medium", fontweight="bold")
    return save_figure(drawing, path)


def _curve(
    axes: "Axes", lengths: Int[np.ndarray, "seeds episodes"], colour: str, name: str
) -> None:
    episodes = np.arange(1, lengths.shape[1] + 1)
    curves = list(lengths.astype(float))
    band = curve_band([episodes] * len(curves), curves, np.mean, resamples=200)
    axes.plot(band.steps, band.center, color=colour, label=name, linewidth=1)
    if band.low is not None and band.high is not None:
        axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.25, linewidth=0)


def _cost_to_go(axes: "Axes", result: LinearControl, features: Planar) -> None:
    best = int(np.argmax(result.returns[:, :, -_LAST:].mean(axis=(1, 2))))
    values = LinearActionValues(
        jnp.asarray(result.weights[best, 0]), jnp.zeros(()), result.features
    )
    sides = [
        np.linspace(low, high, _FINE) for low, high in zip(features.low, features.high, strict=True)
    ]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    cost = -np.asarray(greedy_values(values, jnp.asarray(grid, jnp.result_type(float))))
    drawn = axes.pcolormesh(*sides, cost.reshape(_FINE, _FINE).T, shading="nearest", cmap="viridis")
    assert axes.figure is not None
    axes.figure.colorbar(drawn, ax=axes)
    axes.set_xlabel("first number observed")
    axes.set_ylabel("second")
    size = result.step_sizes[best]
    axes.set_title(f"cost to go, −max Q, α = {size:g}", loc="left", fontsize="medium")
