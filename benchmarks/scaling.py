"""How PPO's time on CartPole grows with seeds, environments and width; own figures, no peer."""

import datetime
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import machine
from .workers import Command, Worker


KEY = "scaling"
ROLLOUT = 128  # steps of each environment in an iteration
SERIES = {
    "seeds": (1, 2, 4, 8, 16, 32),
    "environments": (4, 16, 64, 256, 1024),
    "width": (32, 64, 128, 256, 512),
}
FLAGS = {"seeds": "--seeds", "environments": "--num-envs", "width": "--width"}
BASE = {"seeds": 1, "environments": 4, "width": 64}
LABELS = {
    "seeds": "seeds trained together",
    "environments": "environments of each seed",
    "width": "width of both hidden layers",
}


class Point(NamedTuple):
    """One setting, as it ran."""

    value: int
    steps_per_second: float  # of all seeds together
    iteration_ms: float  # one rollout and 16 gradient steps, of every seed
    peak_rss_mb: float


def measure(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Each setting in a process of its own, because devices are shared out when JAX starts."""
    known: dict[tuple[int, ...], Point] = {}
    series: dict[str, list[dict[str, float]]] = {}
    for name, values in SERIES.items():
        series[name] = []
        for value in (values[0], values[-1]) if quick else values:
            setting = BASE | {name: value}
            place = tuple(setting.values())
            if place not in known:
                known[place] = _point(setting, quick=quick)
            point = known[place]._replace(value=value)
            series[name].append(point._asdict())
            say(f"{KEY}: {value} {LABELS[name]}: {point.steps_per_second:,.0f} steps/s")
    return {
        "key": KEY,
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "load": machine.load(),
        "series": series,
    }


def draw(record: dict[str, Any], path: Path) -> str | None:
    """Draw the series side by side; where there is no matplotlib, return what to say."""
    try:
        import matplotlib
    except ImportError:
        return "No picture of the scaling: matplotlib is not installed."
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(SERIES), figsize=(11, 3.4), sharey=True, dpi=150)
    for axis, (name, points) in zip(axes, record["series"].items(), strict=True):
        values = [point["value"] for point in points]
        axis.plot(values, [point["steps_per_second"] for point in points], "o-", color="#3f51b5")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(values, [str(value) for value in values])
        axis.set_xlabel(LABELS[name])
        axis.grid(visible=True, which="both", alpha=0.25)
    axes[0].set_ylabel("environment steps a second")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return None


def _point(setting: dict[str, int], *, quick: bool) -> Point:
    iteration = ROLLOUT * setting["environments"]
    # Enough for the clock, less where a step costs more, and two whole iterations at least.
    enough = (5_120 if quick else 51_200) * BASE["width"] // max(BASE["width"], setting["width"])
    steps = max(iteration * 2, enough)
    flags = itertools.chain.from_iterable((FLAGS[name], str(setting[name])) for name in setting)
    command = Command("rewardtogo", "ppo_cartpole", None, (*flags, "--total-steps", str(steps)))
    replies = []
    with Worker(command, quick=False) as worker:
        while len(replies) < 5 and sum(reply["seconds"] for reply in replies) < 2.0:
            replies.append(worker.run())
    rate = statistics.median(reply["steps"] / reply["seconds"] for reply in replies)
    per_iteration = 1_000 * setting["seeds"] * iteration / rate
    return Point(0, rate, per_iteration, max(reply["peak_rss_mb"] for reply in replies))
