"""The line protocol between the benchmark driver and a worker: see `benchmarks/README.md`.

Import this module before any other: from then on everything a library prints goes to standard
error, and only the protocol's own lines reach standard output.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path


_STARTED = time.perf_counter()
_REPLIES = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

Result = Mapping[str, float | str | bool]


def peak_rss_mb() -> float:
    """This process's peak resident memory, in MiB (2^20 bytes)."""
    # On Linux getrusage reports the driver's peak where that was larger: exec does not reset it.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the worker's docstring as its help."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def serve(
    measure: Callable[[], Result],
    *,
    name: str,
    unit: str,
    packages: list[str],
    settings: Mapping[str, object],
) -> None:
    """Say ready, then answer every line `run` with one timed call of `measure`, until `quit`.

    `measure` waits for its own results and returns at least `steps`, the number of `unit`s it did.
    All it returns joins the reply, in place of `seconds` or `peak_rss_mb` where it names them.
    """
    reply(
        {
            "ready": True,
            "name": name,
            "unit": unit,
            "versions": {package: version(package) for package in packages},
            "settings": dict(settings),
            "setup_seconds": time.perf_counter() - _STARTED,
            "peak_rss_mb": peak_rss_mb(),
        }
    )
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            return
        if command != "run":
            raise ValueError(f"expected `run` or `quit` on standard input, got {command!r}")
        start = time.perf_counter()
        result = measure()
        seconds = time.perf_counter() - start
        reply({"seconds": seconds, "peak_rss_mb": peak_rss_mb(), **result})


def reply(message: Mapping[str, object]) -> None:
    """Write one line of JSON to standard output."""
    print(json.dumps(message), file=_REPLIES, flush=True)
