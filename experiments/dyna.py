"""Planning with a learned model, in the mazes of Sutton and Barto: `python -m experiments.dyna`.

Draws figures 8.2, 8.4 and 8.5 of the book (2018) into `docs/images/dyna-maze.png` and
`docs/images/changing-mazes.png`, as means over seeds with intervals of 95 %, and prints the rows
of the tables in `docs/model-based.md`.
"""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float

from rewardtogo import validate
from rewardtogo.cli.flags import parse
from rewardtogo.devices import prepare, spread
from rewardtogo.figures import new_figure, save_figure
from rewardtogo.statistics import curve_band
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.td.control.dyna import DynaQ, DynaQPlus
from rewardtogo.td.control.one_step import AbstractControl
from rewardtogo.td.control.optimum import control_optimum
from rewardtogo.td.control.report import mean_over_seeds
from rewardtogo.td.control.run import (
    ControlState,
    RandomNumbers,
    RunningCounts,
    control,
    control_problem,
    stepped,
)
from rewardtogo.td.steps.dynamics import DRAWS, dynamics
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize
from rewardtogo.td.values.action_values import untouched_table


if TYPE_CHECKING:
    from matplotlib.axes import Axes


EPISODES, PLANNING = 50, (0, 5, 50)
# Enough for 50 episodes of every seed without planning.
STEPS = 40_000
EXPLORE = EpsilonGreedyExploration(0.1)
# The problem, steps, imagined steps, κ; the book does not say the last two, nor that α was 1.
CHANGES = (("BlockingMaze", 3000, 10, 1e-4), ("ShortcutMaze", 6000, 50, 1e-3))
# Okabe and Ito (2008).
COLOURS = ("#0072B2", "#009E73", "#D55E00")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    seeds: int = 100
    """Of every curve, from 0."""
    images: Path = Path(__file__).parents[1] / "docs" / "images"
    """Where the pictures are written."""

    def __post_init__(self):
        validate.count("seeds", self.seeds)


def main(options: Options) -> None:
    prepare("cpu", options.seeds)
    drawing = new_figure((6.4, 4.0))
    axes = drawing.add_subplot()
    for n, colour in zip(PLANNING, COLOURS, strict=True):
        method = DynaQ(EXPLORE, ConstantStepSize(0.1), planning_steps=n)
        lengths = episode_lengths(method, options.seeds)
        shown = [mean_over_seeds(lengths[:, i]) for i in (0, 1, 4, 9, 49)]
        print(f"| {n} | " + " | ".join(map(str, shown)) + " |")
        _band(axes, np.arange(EPISODES) + 1, lengths, f"n = {n}", colour)
    # As in the book: the first episode is a random walk for every n.
    axes.set_xlim(2, EPISODES)
    axes.set_ylim(0, 800)
    axes.axhline(14, color="0.35", linestyle="--", linewidth=1, label="shortest path")
    _finish(axes, "episodes", "steps per episode")
    save_figure(drawing, options.images / "dyna-maze.png")

    drawing = new_figure((9.6, 3.8))
    for change, axes in zip(CHANGES, drawing.subplots(1, 2), strict=True):
        _changing(axes, *change, seeds=options.seeds)
    save_figure(drawing, options.images / "changing-mazes.png")


def episode_lengths(method: AbstractControl, seeds: int) -> Float[np.ndarray, "seeds episodes"]:
    """Steps of each seed's first episodes in the maze of example 8.1."""
    mdp = problem("DynaMaze").mdp
    place = control_problem(dynamics(mdp, max_steps=10_000), control_optimum(mdp))
    q, zero = jnp.zeros(place.exact.shape), jnp.zeros(())

    def ends(key, method, place):
        first, act, update, process = jr.split(key, 4)
        tally = RunningCounts(zero, zero, zero, zero, zero + 1, zero)
        walk = ControlState(
            method.init(untouched_table(q)), place.dynamics.begin(jr.uniform(first)), tally
        )

        def step(walk, key_and_numbers):
            key, act, process = key_and_numbers
            numbers = jr.uniform(key, (method.num_draws,))
            walk = stepped(walk, RandomNumbers(act, numbers, process), method, place)
            return walk, walk.tally.episodes

        numbers = jr.uniform(act, (STEPS,)), jr.uniform(process, (STEPS, DRAWS))
        return lax.scan(step, walk, (jr.split(update, STEPS), *numbers))[1]

    done = jax.jit(spread(ends, seeds, shared=2))(jr.split(jr.key(0), seeds), method, place)
    if np.min(done[:, -1]) < EPISODES:
        raise ValueError(f"{STEPS} steps were too few for {EPISODES} episodes.")
    reached = np.array([np.searchsorted(own, np.arange(EPISODES) + 1) + 1 for own in done])
    return np.diff(reached, prepend=0).astype(float)


def _changing(
    axes: "Axes", name: str, steps: int, planning: int, bonus: float, *, seeds: int
) -> None:
    maze, size = problem(name), ConstantStepSize(1.0)
    methods = {
        "Dyna-Q+": DynaQPlus(EXPLORE, size, planning_steps=planning, bonus=bonus),
        "Dyna-Q": DynaQ(EXPLORE, size, planning_steps=planning),
    }
    change = maze.change
    assert change is not None
    for (title, method), colour in zip(methods.items(), COLOURS[::2], strict=True):
        result = control(maze, method, steps=steps, seeds=seeds)
        _band(axes, result.steps, result.reward, title, colour)
        at = int(np.flatnonzero(result.steps == change.step)[0])
        shown = [mean_over_seeds(result.reward[:, i]) for i in (at, -1)]
        best = int(np.sum(result.value[:, -20:].max(axis=1) > 0.99 * result.exact.optimum))
        print(f"| {name} | {title} | " + " | ".join(map(str, shown)) + f" | {best} of {seeds} |")
    axes.axvline(change.step, color="0.35", linestyle=":", linewidth=1)
    axes.set_title(name, loc="left", fontsize="medium")
    _finish(axes, "steps", "cumulative reward")


def _band(axes: "Axes", x: np.ndarray, values: np.ndarray, name: str, colour: str) -> None:
    band = curve_band([x] * len(values), list(values), np.mean)
    assert band.low is not None and band.high is not None
    axes.plot(band.steps, band.center, color=colour, label=name)
    axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.25, linewidth=0)


def _finish(axes: "Axes", x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")


if __name__ == "__main__":
    main(parse(Options, sys.argv[1:], prog="dyna", description=__doc__ or ""))
