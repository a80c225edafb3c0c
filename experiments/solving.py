"""How the time to solve an MDP grows with its states and with γ: `python -m experiments.solving`.

Slippery grids, each in a process of its own so that its peak memory is its own; the table goes into
`docs/solving.md`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


ROOT = Path(__file__).resolve().parent.parent
SIDES = (30, 100, 300, 1000, 2000)
DISCOUNTS = (0.9, 0.99, 0.999, 0.9999)


def measure(side: int, discount: float, repetitions: int) -> dict[str, Any]:
    """The median of some solves, the first with its compiling left out."""
    command = [sys.executable, "-m", "benchmarks.ours.solve", "--problem", "grid"]
    command += ["--side", str(side), "--discount", str(discount)]
    orders = "run\n" * repetitions + "quit\n"
    done = subprocess.run(
        command, cwd=ROOT, input=orders, stdout=subprocess.PIPE, text=True, check=True
    )
    _, *replies = map(json.loads, done.stdout.splitlines())
    replies.sort(key=lambda reply: reply["seconds"])
    return replies[len(replies) // 2]


def table(repetitions: int) -> list[str]:
    """Rows in Markdown."""
    lines = [
        "| grid | states | γ | seconds | sweeps over all actions | error at most | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for side in SIDES:
        for discount in DISCOUNTS:
            found = measure(side, discount, repetitions if side < 1000 else 1)
            lines.append(
                f"| {side} × {side} | {side * side:,} | {discount:g} | {found['seconds']:.3g} "
                f"| {found['iterations']} | {found['value_error']:.1e} "
                f"| {found['peak_rss_mb']:,.0f} MiB |"
            )
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5, help="solves of the smaller grids")
    print("\n".join(table(parser.parse_args().repetitions)))
