"""Errors of prediction, drawn as in Sutton and Barto (2018), figures 7.2 and 6.2."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..drawing import new_figure, save_figure
from ..statistics import curve_band
from .predicting import Prediction


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Okabe and Ito (2008), as in `plot`.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def draw(found: Mapping[str, Prediction], path: Path, *, title: str) -> Path:
    """Draw `figure` into `path`, its format by the suffix; errors are those of `save_figure`."""
    return save_figure(figure(found, title=title), path)


def figure(found: Mapping[str, Prediction], *, title: str) -> "Figure":
    """Left the mean error against the step size, right against episodes at each one's best.

    What became infinite is left out; so is, to the left, what is worse than knowing nothing.
    """
    drawing = new_figure((9.0, 4.0))
    by_size, by_episode = drawing.subplots(1, 2)
    most = 0.0
    for i, (name, prediction) in enumerate(found.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        _size_curve(by_size, prediction, colour)
        _episode_curve(by_episode, prediction, colour, name)
        most = max(most, float(np.sqrt(np.mean(prediction.exact[prediction.counted] ** 2))))
    if by_size.get_ylim()[1] > 2 * most > 0:
        by_size.set_ylim(0, 1.2 * most)
    by_size.set_xlabel("step size α")
    by_size.set_ylabel("RMS error over states, mean over episodes")
    by_episode.set_xlabel("episodes")
    by_episode.set_ylabel("RMS error over states, best α")
    for axes in (by_size, by_episode):
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    handles, names = by_episode.get_legend_handles_labels()
    drawing.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize="small"
    )
    by_size.set_title(title, loc="left", fontsize="medium")
    return drawing


def _size_curve(axes: "Axes", prediction: Prediction, colour: str) -> None:
    points = [
        (size, mean.estimate, mean.low, mean.high)
        for size, mean in zip(prediction.step_sizes, prediction.mean_errors(), strict=True)
        if mean is not None
    ]
    points.sort()
    axes.plot([p[0] for p in points], [p[1] for p in points], "o-", markersize=3, color=colour)
    bands = np.array([(size, low, high) for size, _, low, high in points], float).reshape(-1, 3)
    sizes, low, high = bands.T
    axes.fill_between(sizes, low, high, color=colour, alpha=0.2, linewidth=0)


def _episode_curve(axes: "Axes", prediction: Prediction, colour: str, name: str) -> None:
    best = prediction.best()
    if best is None:
        return
    runs = prediction.errors[best]
    episodes = np.arange(1, runs.shape[1] + 1)
    band = curve_band([episodes] * len(runs), list(runs), np.mean, resamples=200)
    axes.plot(
        band.steps, band.center, color=colour, label=f"{name}, α = {prediction.step_sizes[best]:g}"
    )
    if band.low is not None and band.high is not None:
        axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
