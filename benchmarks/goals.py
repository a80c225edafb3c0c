"""Figures, and what they are to reach."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


Reply = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A quantity read from a worker's reply: `scale` times `numerator` over `denominator`.

    `denominator` empty stands for 1. Where less is better, how many times faster one is than
    another is the quotient turned round.
    """

    unit: str
    numerator: str
    denominator: str = ""
    scale: float = 1.0
    better: Literal["more", "less"] = "less"

    def of(self, reply: Reply) -> float:
        """The figure of one repetition."""
        divisor = reply[self.denominator] if self.denominator else 1.0
        return self.scale * reply[self.numerator] / divisor

    def ratio(self, ours: Reply, theirs: Reply) -> float:
        """How many times faster ours was."""
        quotient = self.of(ours) / self.of(theirs)
        return quotient if self.better == "more" else 1 / quotient


STEPS = Figure("steps/s", "steps", "seconds", better="more")
UPDATES = Figure("updates/s", "steps", "seconds", better="more")
CALL = Figure("µs a call", "seconds", "steps", scale=1e6)
SOLVE = Figure("ms a solve", "seconds", "steps", scale=1e3)
WHOLE = Figure("s", "seconds")
IMPORT = Figure("s of import", "import_seconds")


@dataclass(frozen=True)
class Spread:
    """The median of some repetitions and their range."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises `ValueError` for no values, or one that is not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"a spread needs finite numbers, at least one; got {list(values)}")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(figure: Figure, pairs: Sequence[tuple[Reply, Reply]]) -> Spread:
    """The ratio of each pair (ours, theirs), and only then the median: a machine's speed drifts."""
    return spread([figure.ratio(ours, theirs) for ours, theirs in pairs])


@dataclass(frozen=True)
class Faster:
    """At least `times` as fast as the best of these peers: as every one of them."""

    times: float
    than: tuple[str, ...]
    of: str = ""  # what they have in common, where the row has other peers too

    def __str__(self) -> str:
        best = f"the best {self.of}".strip()
        return f"≥ {self.times:g} × {best if len(self.than) > 1 else ''.join(self.than)}"

    def value(self, ours: Sequence[Reply], against: Mapping[str, Spread]) -> float:
        """How many times faster than the best peer."""
        del ours
        return min(against[name].median for name in self.than)

    def met(self, value: float) -> bool:
        return value >= self.times


@dataclass(frozen=True)
class AtMost:
    """Our own figure, in the median."""

    figure: Figure
    limit: float

    def __str__(self) -> str:
        return f"≤ {self.limit:g} {self.figure.unit}"

    def value(self, ours: Sequence[Reply], against: Mapping[str, Spread]) -> float:
        """The figure."""
        del against
        return spread([self.figure.of(reply) for reply in ours]).median

    def met(self, value: float) -> bool:
        return value <= self.limit


Goal = Faster | AtMost
