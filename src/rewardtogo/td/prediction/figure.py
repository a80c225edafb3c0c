"""Prediction drawn as in Sutton and Barto (2018): figures 6.2, 7.2, 9.1, 9.5 and 9.10."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...figures import new_figure, save_figure
from ...statistics import curve_band
from .run import Prediction


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Okabe and Ito (2008), as in `plot`.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def draw(found: Mapping[str, Prediction], path: Path, *, title: str, by_state: bool) -> Path:
    """Draw `figure` into `path`, its format by the suffix; errors are those of `save_figure`."""
    return save_figure(figure(found, title=title, by_state=by_state), path)


def figure(found: Mapping[str, Prediction], *, title: str, by_state: bool) -> "Figure":
    """The mean error against the step size, if there are several, and against episodes.

    Against episodes each method has its best step size. `by_state` puts the values it learned
    before them, beside the true ones. What became infinite is left out; so is, against the step
    size, what is worse than knowing nothing.
    """
    by_size = any(len(prediction.step_sizes) > 1 for prediction in found.values())
    count = by_state + by_size + 1
    drawing = new_figure((4.5 * max(count, 1.4), 4.0))
    panels = list(drawing.subplots(1, count, squeeze=False)[0])
    *others, by_episode = panels
    if by_state:
        _values_panel(others[0], found)
    if by_size:
        _sizes_panel(others[-1], found)
    for colour, (name, prediction) in zip(_colours(), found.items(), strict=False):
        _episode_curve(by_episode, prediction, colour, name)
    by_episode.set_xlabel("episodes")
    by_episode.set_ylabel("RMS error, best α" if by_size else "RMS error")
    if by_state:
        by_episode.set_ylim(bottom=0)
    for axes in panels:
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    handles, names = by_episode.get_legend_handles_labels()
    drawing.legend(
        handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize="small"
    )
    panels[0].set_title(title, loc="left", fontsize="medium")
    return drawing


def _colours() -> Iterator[str]:
    return itertools.cycle(_COLOURS)


def _values_panel(axes: "Axes", found: Mapping[str, Prediction]) -> None:
    first = next(iter(found.values()))
    states = np.flatnonzero(first.counted)
    axes.plot(states, first.exact[states], color="0.6", linewidth=3, label="true")
    for colour, prediction in zip(_colours(), found.values(), strict=False):
        best = prediction.best()
        if best is not None:
            axes.plot(states, prediction.values[best].mean(axis=0)[states], color=colour)
    axes.set_xlabel("state")
    axes.set_ylabel("learned value")
    axes.legend(frameon=False, fontsize="small")


def _sizes_panel(axes: "Axes", found: Mapping[str, Prediction]) -> None:
    most = 0.0
    for colour, prediction in zip(_colours(), found.values(), strict=False):
        _size_curve(axes, prediction, colour)
        most = max(most, float(np.sqrt(np.mean(prediction.exact[prediction.counted] ** 2))))
    if axes.get_ylim()[1] > 2 * most > 0:
        axes.set_ylim(0, 1.2 * most)
    axes.set_xlabel("step size α")
    axes.set_ylabel("RMS error, mean over episodes")


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
