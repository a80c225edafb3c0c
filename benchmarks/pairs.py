"""Ours and a peer in turn: a machine's speed drifts, and a pair sees the same weather."""

import contextlib
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from . import machine
from .goals import Goal, Reply, Spread, ratios, spread
from .rows import Row
from .workers import Worker


Pair = tuple[Reply, Reply]
Record = dict[str, Any]
"""What a row's measurement keeps as JSON."""


def measure(row: Row, *, pairs: int, quick: bool, say: Callable[[str], None]) -> Record:
    """Start the row's workers and let them work in turn, `pairs` times against every peer."""
    with contextlib.ExitStack() as stack:
        workers = []
        for command in (row.ours, *row.peers):
            say(f"{row.key}: starting {command.name}")
            workers.append(stack.enter_context(Worker(command, quick=quick)))
        with Observer(workers) as observer:
            taken = _in_turn(row, workers[0], workers[1:], pairs, observer, say)
    by_peer = {peer.name: taken[peer.name] for peer in row.peers}
    against = {name: ratios(row.figure, found) for name, found in by_peer.items()}
    ours = [reply for found in by_peer.values() for reply, _ in found]
    return {
        "key": row.key,
        "work": row.work,
        "note": row.note,
        "unit": row.figure.unit,
        "pairs": pairs,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "ours": _side(row, workers[0], ours),
        "peers": [
            _side(row, worker, [theirs for _, theirs in by_peer[worker.command.name]])
            | {"ratio": asdict(against[worker.command.name])}
            for worker in workers[1:]
        ],
        "reach": _outcomes(row.reach, ours, against),
        "aim": _outcomes(row.aim, ours, against),
        **observer.seen,
    }


def _in_turn(
    row: Row,
    ours: Worker,
    peers: Sequence[Worker],
    pairs: int,
    observer: "Observer",
    say: Callable[[str], None],
) -> dict[str, list[Pair]]:
    taken: dict[str, list[Pair]] = {peer.command.name: [] for peer in peers}
    for number in range(1, pairs + 1):
        for peer in peers:
            name, pair = peer.command.name, (observer.run(ours), observer.run(peer))
            taken[name].append(pair)
            mine, theirs = (row.figure.of(reply) for reply in pair)
            say(
                f"{row.key}: pair {number} of {pairs}: {mine:,.4g} against {name}'s {theirs:,.4g} "
                f"{row.figure.unit}, {row.figure.ratio(*pair):.2f} × as fast"
            )
    return taken


class Observer:
    """Runs workers, and sees what the machine does besides: `seen`, once it is left."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._idle = 0.0
        self.seen: dict[str, float | list[float]] = {}

    def run(self, worker: Worker) -> Reply:
        """One repetition, while the others are to keep still."""
        others = [other for other in self._workers if other is not worker]
        before = sum(other.cpu_seconds() for other in others)
        reply = worker.run()
        self._idle += sum(other.cpu_seconds() for other in others) - before
        return reply

    def __enter__(self) -> "Observer":
        self._load = machine.load()
        self._began, self._busy, self._own = time.monotonic(), machine.busy_seconds(), self._used()
        return self

    def __exit__(self, *exception: object) -> None:
        seconds = time.monotonic() - self._began
        busy, own = machine.busy_seconds() - self._busy, self._used() - self._own
        self.seen = {
            "load": [self._load, machine.load()],
            "other_cores": max(0.0, busy - own) / seconds,
            "idle_worker_cores": self._idle / seconds,
            "seconds": seconds,
        }

    def _used(self) -> float:
        return time.process_time() + sum(worker.cpu_seconds() for worker in self._workers)


def _side(row: Row, worker: Worker, replies: Sequence[Reply]) -> dict[str, Any]:
    return {
        "name": worker.command.name,
        "versions": worker.ready["versions"],
        "settings": worker.ready["settings"],
        "setup_seconds": worker.ready["setup_seconds"],
        "peak_rss_mb": max(reply["peak_rss_mb"] for reply in replies),
        "figure": asdict(spread([row.figure.of(reply) for reply in replies])),
        "replies": list(replies),
    }


def _outcomes(
    goals: Sequence[Goal], ours: Sequence[Reply], against: Mapping[str, Spread]
) -> list[dict[str, Any]]:
    values = [goal.value(ours, against) for goal in goals]
    return [
        {"goal": str(goal), "value": value, "met": goal.met(value)}
        for goal, value in zip(goals, values, strict=True)
    ]
