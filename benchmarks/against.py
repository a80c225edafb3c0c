"""Ours of the working tree against ours of a commit: has a change made the library slower?

A commit measured against itself differs too. So two workers of it take part in every round, and
how far they lie apart is what a verdict allows for.
"""

import contextlib
import datetime
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import machine, verdicts
from .goals import STEPS, Reply, spread
from .pairs import Observer, Record
from .rows import Row, rows
from .workers import ROOT, Command, Tree, Worker


SITTING = 5
"""Rounds after which processes are started anew: one may be slow for as long as it lives."""

DEFAULT = (
    "ppo-1",
    "ppo-8",
    "ppo-gym",
    "sac",
    "dqn-prioritised",
    "q-learning",
    "solve-grid",
    "solve-dense",
)

DQN_PRIORITISED = Row(
    key="dqn-prioritised",
    work="DQN CartPole-v1, zoo settings, prioritised replay",
    figure=STEPS,
    ours=Command("rewardtogo", "dqn_prioritised", quick=("--steps", "2560"), portable=True),
    peers=(),
    reach=(),
    aim=(),
)


@dataclass(frozen=True)
class Trees:
    """Whose workers take turns; `again` is the commit's second."""

    new: Tree
    old: Tree
    again: Tree


def trees(commit: str, folder: Path) -> Trees:
    """`folder` holds the commit in `tree`, and the caches of all three.

    Each compiles for itself: a program that another one left in the cache may differ in speed from
    one that has just been compiled.
    """
    name, root = f"commit {commit[:12]}", folder / "tree"
    return Trees(
        Tree("working tree", ROOT, folder / "cache-new"),
        Tree(name, root, folder / "cache-old"),
        Tree(f"{name} again", root, folder / "cache-again"),
    )


def comparable() -> tuple[Row, ...]:
    """Every row, with or without a peer."""
    return (*rows(None), DQN_PRIORITISED)


def chosen(only: Sequence[str] | None) -> list[Row]:
    """The rows of these keys, or the usual ones."""
    return [row for row in comparable() if row.key in (only or DEFAULT)]


def measure(
    row: Row, trees: Trees, *, rounds: int, quick: bool, say: Callable[[str], None]
) -> Record:
    """Let three workers work in turn for so many rounds, and judge."""
    sittings = []
    for first in range(1, rounds + 1, SITTING):
        numbers = range(first, min(first + SITTING, rounds + 1))
        sittings.append(_sitting(row, trees, numbers, quick=quick, say=say))
    replies = [taken for sitting in sittings for taken in sitting.replies]
    verdict, (new, old) = verdicts.judge(row.figure, replies), sittings[-1].settings
    say(f"{row.key}: {verdicts.in_words(asdict(verdict.new))} × as fast as the commit: {verdict}")
    return {
        "key": row.key,
        "work": row.work,
        "unit": row.figure.unit,
        "rounds": rounds,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "commit": trees.old.name,
        "figures": [
            asdict(spread([row.figure.of(reply) for reply in one]))
            for one in zip(*replies, strict=True)
        ],
        **asdict(verdict),
        "least": verdict.least,
        "below": verdict.below,
        "verdict": str(verdict),
        "differences": verdicts.differences(new, old, replies[-1]),
        "replies": replies,
        "other_cores": max(sitting.other_cores for sitting in sittings),
    }


class Sitting(NamedTuple):
    """Rounds of the same processes; `settings` are new's and old's."""

    replies: list[list[Reply]]
    settings: tuple[Mapping[str, Any], Mapping[str, Any]]
    other_cores: float


def _sitting(
    row: Row, trees: Trees, numbers: range, *, quick: bool, say: Callable[[str], None]
) -> Sitting:
    with contextlib.ExitStack() as stack:
        workers = []
        for tree in (trees.new, trees.old, trees.again):
            say(f"{row.key}: starting {tree.name}")
            workers.append(stack.enter_context(Worker(row.ours, quick=quick, tree=tree)))
        with Observer(workers) as observer:
            replies = _in_turn(row, workers, numbers, observer, say)
    new, old, _ = (worker.ready["settings"] for worker in workers)
    cores: Any = observer.seen["other_cores"]
    return Sitting(replies, (new, old), cores)


def turns(number: int) -> tuple[int, int, int]:
    """Who works first, second and third in this round: new 0, old 1, old again 2.

    Old is always the second, so that both of the others are measured against a neighbour, one as
    often before it as after it.
    """
    return (0, 1, 2) if number % 2 else (2, 1, 0)


def _in_turn(
    row: Row,
    workers: Sequence[Worker],
    numbers: range,
    observer: Observer,
    say: Callable[[str], None],
) -> list[list[Reply]]:
    """Of each round the replies of new, old and old again, whatever their turns."""
    taken, times = [], _times_a_turn([observer.run(worker) for worker in workers])
    for number in numbers:
        replies = {place: _turn(observer, workers[place], times) for place in turns(number)}
        new, old, again = (replies[place] for place in range(3))
        taken.append([new, old, again])
        say(
            f"{row.key}: round {number}: {row.figure.of(new):,.4g} against "
            f"{row.figure.of(old):,.4g} {row.figure.unit}, {row.figure.ratio(new, old):.3f} × as "
            f"fast; the commit against itself {row.figure.ratio(again, old):.3f}"
        )
    return taken


def _times_a_turn(tried: Sequence[Reply]) -> int:
    """How often the work is to be repeated for a turn of a second, for all workers alike."""
    return max(1, math.ceil(1.0 / min(reply["seconds"] for reply in tried)))


def _turn(observer: Observer, worker: Worker, times: int) -> Reply:
    """The reply of a repetition, with the means of all that the turn had."""
    replies = [observer.run(worker) for _ in range(times)]
    means = {name: statistics.fmean(r[name] for r in replies) for name in ("steps", "seconds")}
    return {**replies[-1], **means}
