"""`rtg plot RUN…`: several learning curves in one picture, each with its interval."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import tyro

from .. import validate
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Compare learning curves, with intervals over seeds."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The run folders."""
    output: Path = Path("curves.png")
    """The picture to write; its suffix says the format (.png, .svg, .pdf)."""
    tag: str | None = None
    """What to draw, as named in `metrics.jsonl`; default evaluations or training returns."""
    labels: tuple[str, ...] = ()
    """Names in the legend, one a run; default what tells the runs apart."""
    reference: float | None = None
    """A level to draw across, the return that counts as solved, say."""


def run(argv: Sequence[str]) -> int:
    """Draw."""
    options = parse(Plot, argv, prog="rtg plot")
    if not options.runs:
        raise ValueError("name at least one run folder.")
    if options.reference is not None:
        validate.in_interval("reference", options.reference, -math.inf, math.inf)
    from ..runs.folder import RunFolder
    from ..runs.learning_curves import learning_curves

    for run in options.runs:
        RunFolder.open_(run)

    path = learning_curves(
        options.runs,
        options.output,
        tag=options.tag,
        labels=options.labels or None,
        reference=options.reference,
    )
    print(path)
    return 0
