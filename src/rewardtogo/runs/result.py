"""What a run found out, to read, to keep and to draw."""

import base64
import dataclasses
import html
from pathlib import Path
from typing import Any

from ..files import read_json
from ..types import STEPS
from .evaluation import Evaluation, evaluation_from_json
from .folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Result:
    """A run that has ended; everything in it can be read again from `path`."""

    path: Path
    algorithm: str
    environment: str
    evaluation: Evaluation
    steps: int  # progress of all seeds, this time
    seconds: float  # wall time of training, compiling included
    unit: str = STEPS.name

    def __str__(self) -> str:
        found = self.evaluation
        interval = "" if found.iqm.low is None else "  (95 % bootstrap interval over seeds)"
        lines = [
            f"{self.algorithm} on {self.environment}, {_counted(len(found.seeds), 'seed')}, "
            f"{max(found.steps):,} {self.unit} each",
            f"  final {found.figure}, interquartile mean  {found.iqm}{interval}",
        ]
        if found.optimum is not None:
            lines.append(f"  {found.optimum}")
        if self.seconds:
            rate = self.steps / self.seconds
            lines.append(
                f"  training  {self.seconds:.1f} s, compiling and evaluating included: "
                f"{rate:,.0f} {self.unit}/s over all seeds"
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
        from .learning_curves import figure

        return figure([self.path])


def read_result(folder: RunFolder, algorithm: str, environment: str) -> Result:
    """The result of a run that ended before."""
    found = evaluation_from_json(read_json(folder.evaluation))
    unit = read_json(folder.settings)["unit"]
    return Result(folder.path, algorithm, environment, found, 0, 0.0, unit)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
