"""Whether the working tree is slower than a commit, and the table that says so."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import page
from .goals import Figure, Reply, Spread, ratios
from .pairs import Record


LEAST = 0.98
"""How fast the working tree is to be beside the commit, before what the commit allows itself."""

TITLE = "# The working tree against a commit"
HEADINGS = (
    "work",
    "working tree",
    "commit",
    "times as fast (range)",
    "the commit against itself",
    "at least",
    "verdict",
    "other programs used",
)


@dataclass(frozen=True)
class Verdict:
    """How many times as fast as the commit the working tree is, and the commit's second worker."""

    new: Spread
    again: Spread

    @property
    def least(self) -> float:
        """Where `below` begins: half the range of the commit against itself under `LEAST`.

        The range includes 1, for the commit should be as fast as itself: always 10 % slower is no
        steady measurement.
        """
        return LEAST - (max(self.again.high, 1.0) - min(self.again.low, 1.0)) / 2

    @property
    def below(self) -> bool:
        """Slower, by more than the machine explains."""
        return self.new.median < self.least

    def __str__(self) -> str:
        if self.below:
            return "below"
        return "as fast" if self.new.median >= LEAST else f"under {LEAST:g}, within the spread"


def judge(figure: Figure, replies: Sequence[Sequence[Reply]]) -> Verdict:
    """From every round's replies of new, old and old again."""
    return Verdict(
        new=ratios(figure, [(new, old) for new, old, _ in replies]),
        again=ratios(figure, [(again, old) for _, old, again in replies]),
    )


def differences(new: Mapping[str, Any], old: Mapping[str, Any], last: Sequence[Reply]) -> list[str]:
    """What else than speed is not the same: settings of the work, and its result."""
    settings = [dict(_leaves(side)) for side in (new, old)]
    missing = object()
    names = dict.fromkeys([*settings[0], *settings[1]])
    found = [n for n in names if settings[0].get(n, missing) != settings[1].get(n, missing)]
    ours, theirs = (reply.get("checksum", 0.0) for reply in last[:2])
    if not math.isclose(ours, theirs, rel_tol=1e-4):  # another order of additions is the same work
        found.append("checksum")
    return found


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def check(path: Path) -> None:
    """Raise `ValueError`, before anything is measured, rather than replace a page of others."""
    if path.exists() and not path.read_text().startswith(TITLE):
        raise ValueError(f"{path} is not a page of --against, which would replace all of it.")


def terminal(records: Sequence[Record]) -> str:
    """The table in columns, and below it what else differs."""
    lines = [_line(record, record["key"]) for record in records]
    return "\n".join([page.columns(HEADINGS, lines), *_notes(records)])


def write(path: Path, records: Sequence[Record]) -> None:
    """The table as a page in Markdown."""
    if not records:
        return
    first = records[0]
    about = (
        f"{first['commit'].capitalize()}, {first['date']}, {first['rounds']} rounds on "
        f"{first['machine']}. A row is below if it reaches less than {LEAST:g} times the commit's "
        "speed, less half the range, 1 included, that the commit has against itself."
    )
    table = page.table(HEADINGS, [_line(record, record["work"]) for record in records])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([TITLE, about, table, *_notes(records)]) + "\n")


def _line(record: Record, work: str) -> tuple[str, ...]:
    new, old, _ = (page.number(figure["median"]) for figure in record["figures"])
    return (
        work,
        f"{new} {record['unit']}",
        f"{old} {record['unit']}",
        in_words(record["new"]),
        in_words(record["again"]),
        f"{record['least']:.3f}",
        record["verdict"],
        f"{record['other_cores']:.2f} cores",
    )


def in_words(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})"


def _notes(records: Sequence[Record]) -> list[str]:
    return [
        f"{record['key']}: the work differs in {', '.join(record['differences'])}."
        for record in records
        if record["differences"]
    ]
