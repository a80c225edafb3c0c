"""What an evaluation found, as a run keeps it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..statistics import Interval, stratified_bootstrap
from ..training.evaluate import EvaluatedEpisodes
from ..types import Optimum


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Mean undiscounted return of each seed's policy, and the seeds' interquartile mean.

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

    def to_json(self) -> dict[str, Any]:
        """The content of `evaluation.json`."""
        rows = zip(self.seeds, self.means, self.deviations, self.lengths, self.steps, strict=True)
        names = ("seed", "mean", "std", "length", "steps")
        best = {} if self.optimum is None else {"optimum": dataclasses.asdict(self.optimum)}
        return {
            "iqm": self.iqm.estimate,
            "interval": None if self.iqm.low is None else [self.iqm.low, self.iqm.high],
            "level": self.iqm.level,
            "episodes": self.episodes,
            "seeds": [dict(zip(names, row, strict=True)) for row in rows],
            **best,
        }


def evaluation(
    episodes: EvaluatedEpisodes,
    seeds: range,
    steps: Sequence[int] | np.ndarray,
    optimum: Optimum | None = None,
) -> Evaluation:
    """Summarise every seed's episodes."""
    means = episodes.returns.mean(axis=1)
    floats = lambda xs: tuple(float(x) for x in xs)
    return Evaluation(
        stratified_bootstrap(means, seed=0),
        tuple(seeds),
        floats(means),
        floats(episodes.returns.std(axis=1)),
        floats(episodes.lengths.mean(axis=1)),
        episodes.returns.shape[1],
        tuple(int(s) for s in steps),
        optimum,
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
    )


def optimum_from_json(data: dict[str, Any]) -> Optimum | None:
    """The optimum in what `Evaluation.to_json` wrote, if there is one."""
    return Optimum(**data["optimum"]) if "optimum" in data else None
