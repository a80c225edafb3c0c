"""What a run found out, to read, to keep and to draw."""

import base64
import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .envs.tabular import Optimum
from .evaluate import Episodes
from .runs import RunFolder, read_json
from .statistics import Interval, stratified_bootstrap


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
    episodes: Episodes,
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


@dataclasses.dataclass(frozen=True)
class Result:
    """A run that has ended; everything in it can be read again from `path`."""

    path: Path
    algorithm: str
    environment: str
    evaluation: Evaluation
    steps: int  # environment steps of all seeds, this time
    seconds: float  # wall time of training, compiling included

    def __str__(self) -> str:
        found = self.evaluation
        interval = "" if found.iqm.low is None else "  (95 % bootstrap interval over seeds)"
        lines = [
            f"{self.algorithm} on {self.environment}, {_counted(len(found.seeds), 'seed')}, "
            f"{max(found.steps):,} steps each",
            f"  final return, interquartile mean  {found.iqm}{interval}",
        ]
        if found.optimum is not None:
            lines.append(f"  {found.optimum}")
        if self.seconds:
            rate = self.steps / self.seconds
            lines.append(
                f"  training  {self.seconds:.1f} s, compiling and evaluating included: "
                f"{rate:,.0f} steps/s over all seeds"
            )
        return "\n".join(lines + [f"  {name:<18}{self.path / name}" for name in self._files()])

    def __repr__(self) -> str:
        return f"Result: {self}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the summary and the learning curve."""
        text = f"<pre>{html.escape(str(self))}</pre>"
        curve = RunFolder(self.path).curve
        if not curve.exists():
            return text
        data = base64.b64encode(curve.read_bytes()).decode()
        return f'{text}<img src="data:image/png;base64,{data}" width="720">'

    def _files(self) -> list[str]:
        names = (
            "settings.json",
            "metrics.jsonl",
            "evaluation.json",
            "curve.png",
            "checkpoints",
            "policy",
            "best",
            "tensorboard",
        )
        return [name for name in names if (self.path / name).exists()]

    def plot(self) -> Any:
        """The learning curve, as a Matplotlib figure that a notebook shows."""
        from .plot import figure

        return figure([self.path])


def read_result(folder: RunFolder, algorithm: str, environment: str) -> Result:
    """The result of a run that ended before."""
    found = evaluation_from_json(read_json(folder.evaluation))
    return Result(folder.path, algorithm, environment, found, 0, 0.0)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
