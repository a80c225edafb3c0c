"""What an evaluation found, as a run keeps it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..statistics import Interval, stratified_bootstrap
from ..training.evaluators import Measured
from ..types import Optimum


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The mean of each seed, of undiscounted returns as a rule, and their interquartile mean.

    The interval is a bootstrap over seeds: episodes of one seed are not independent runs.
    `optimum`: what no policy can exceed but by the luck of its episodes, where that is known.
    """

    iqm: Interval
    seeds: tuple[int, ...]
    means: tuple[float, ...]  # one a seed, over its episodes
    deviations: tuple[float, ...]  # of a seed's episodes
    lengths: tuple[float, ...]  # mean episode length of each seed
    episodes: int  # of each seed
    steps: tuple[int, ...]  # environment steps trained, one a seed
    optimum: Optimum | None = None
    figure: str = "return"  # what the numbers are of

    def to_json(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        rows = zip(self.seeds, self.means, self.deviations, self.lengths, self.steps, strict=True)
        names = ("seed", "mean", "std", "length", "steps")
        best = {} if self.optimum is None else {"optimum": dataclasses.asdict(self.optimum)}
        figure = {} if self.figure == "return" else {"figure": self.figure}
        return {
            "iqm": self.iqm.estimate,
            "interval": None if self.iqm.low is None else [self.iqm.low, self.iqm.high],
            "level": self.iqm.level,
            "episodes": self.episodes,
            "seeds": [dict(zip(names, row, strict=True)) for row in rows],
            **best,
            **figure,
        }


def evaluation(
    found: Measured,
    seeds: range,
    steps: Sequence[int] | np.ndarray,
    *,
    optimum: Optimum | None = None,
    figure: str = "return",
) -> Evaluation:
    """Summarise what was measured of every seed."""
    means = found.items.mean(axis=1)
    floats = lambda xs: tuple(float(x) for x in xs)
    lengths = np.ones_like(found.items) if found.lengths is None else found.lengths
    return Evaluation(
        stratified_bootstrap(means, seed=0),
        tuple(seeds),
        floats(means),
        floats(found.items.std(axis=1)),
        floats(lengths.mean(axis=1)),
        found.items.shape[1],
        tuple(int(s) for s in steps),
        optimum,
        figure,
    )


def evaluation_from_json(data: dict[str, Any]) -> Evaluation:
    """Read what `Evaluation.to_json` wrote."""
    low, high = data["interval"] or (None, None)
    column = lambda name: tuple(row[name] for row in data["seeds"])
    return Evaluation(
        Interval(data["iqm"], low, high, data["level"]),
        column("seed"),
        column("mean"),
        column("std"),
        column("length"),
        data["episodes"],
        column("steps"),
        optimum_from_json(data),
        data.get("figure", "return"),
    )


def optimum_from_json(data: dict[str, Any]) -> Optimum | None:
    """The optimum in what `Evaluation.to_json` wrote, if there is one."""
    return Optimum(**data["optimum"]) if "optimum" in data else None
