"""The page in the documentation, and the same table on a terminal, from kept records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import scaling
from .pairs import Record


BEGIN = "<!-- `make bench` writes from here on -->"
END = "<!-- `make bench` writes up to here -->"
HEADINGS = ("work", "rewardtogo", "peer", "times as fast (range)", "reach", "aim")


def check(path: Path) -> None:
    """Raise `ValueError`, before anything is measured, if the page has no place for results."""
    if not path.exists():
        return
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise ValueError(f"{path} must hold the lines {BEGIN} and {END}, in this order and once.")


def write(path: Path, records: Sequence[Record], grown: Record | None) -> None:
    """Renew what lies between the two marks; everything else on the page stays."""
    before, after = "# Benchmarks\n\n", "\n"
    if path.exists():
        text = path.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
    parts = [_speed(records), _memory(records), _circumstances(records), _scaling(grown, path)]
    body = "\n\n".join(part for part in parts if part)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")


def terminal(records: Sequence[Record]) -> str:
    """The first table of the page in columns."""
    return columns(HEADINGS, [line for record in records for line in _lines(record, record["key"])])


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join(padded)


def _lines(record: Record, work: str) -> list[tuple[str, ...]]:
    """One line a peer; what concerns the row stands in the first."""
    ours, unit, lines = record["ours"], record["unit"], []
    for peer in record["peers"]:
        ratio = peer["ratio"]
        faster = f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
        lines.append(("", "", f"{peer['name']} {number(peer['figure']['median'])}", faster, "", ""))
    own = f"{number(ours['figure']['median'])} {unit}"
    goals = [_goals(record[kind]) for kind in ("reach", "aim")]
    lines[0] = (work, own, *lines[0][2:4], *goals)
    return lines


def _goals(outcomes: Sequence[Mapping[str, Any]]) -> str:
    texts = [
        f"{outcome['goal']}: {'met' if outcome['met'] else 'not met'}, {number(outcome['value'])}"
        for outcome in outcomes
    ]
    return "; ".join(texts) or "–"


def _speed(records: Sequence[Record]) -> str:
    if not records:
        return ""
    lines = [line for record in records for line in _lines(record, record["work"])]
    notes = [f"{record['work']}: {record['note']}" for record in records if record["note"]]
    return "\n\n".join(["## Speed", table(HEADINGS, lines), *notes])


def _memory(records: Sequence[Record]) -> str:
    if not records:
        return ""
    lines = []
    for record in records:
        for side in (record["ours"], *record["peers"]):
            figure = side["figure"]
            spread = f"{number(figure['low'])}–{number(figure['high'])} {record['unit']}"
            first = record["work"] if side is record["ours"] else ""
            ready = f"{side['setup_seconds']:.1f} s"
            lines.append((first, side["name"], f"{side['peak_rss_mb']:,.0f} MiB", spread, ready))
    headings = ("work", "by", "peak memory", "range of the figure", "ready after")
    return f"## Memory, and how much figures vary\n\n{table(headings, lines)}"


def _circumstances(records: Sequence[Record]) -> str:
    if not records:
        return ""
    lines = []
    for record in records:
        load = f"{record['load'][0]:.1f} → {record['load'][1]:.1f}"
        others = f"{record['other_cores']:.2f} cores"
        idle = f"{record['idle_worker_cores']:.2f} cores"
        about = (record["date"], str(record["pairs"]), load, others, idle, record["machine"])
        lines.append((record["work"], *about))
    headings = ("work", "date", "pairs", "load", "other programs used", "idle workers used", "on")
    return f"## When and on what\n\n{table(headings, lines)}\n\n{_versions(records)}"


def _versions(records: Sequence[Record]) -> str:
    """Every set of versions once, with whose it was."""
    users: dict[str, list[str]] = {}
    for record in records:
        for side in (record["ours"], *record["peers"]):
            text = ", ".join(f"{name} {number}" for name, number in side["versions"].items())
            names = users.setdefault(text, [])
            if side["name"] not in names:
                names.append(side["name"])
    lines = [(", ".join(names), text) for text, names in users.items()]
    return table(("program", "versions"), lines)


def _scaling(record: Record | None, page: Path) -> str:
    if record is None:
        return ""
    parts = [
        "## How time grows",
        f"PPO on CartPole-v1, ours alone: one seed, 4 environments × {scaling.ROLLOUT} steps and "
        "two hidden layers of 64, but for what the line says. An iteration is one rollout and 16 "
        f"gradient steps of every seed. {record['date']}, {record['machine']}, load "
        f"{record['load']:.1f}.",
    ]
    if picture(page).exists():
        parts.append(f"![Steps a second](images/{picture(page).name})")
    for name, points in record["series"].items():
        headings = (scaling.LABELS[name], "steps/s", "ms an iteration", "peak memory")
        lines = [
            (
                f"{point['value']:,}",
                number(point["steps_per_second"]),
                number(point["iteration_ms"]),
                f"{point['peak_rss_mb']:,.0f} MiB",
            )
            for point in points
        ]
        parts.append(table(headings, lines))
    return "\n\n".join(parts)


def picture(page: Path) -> Path:
    """Where the picture of the scaling belongs."""
    return page.parent / "images" / "scaling.png"


def number(value: float) -> str:
    """Three digits, and no exponent."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
