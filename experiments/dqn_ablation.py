"""What each option of DQN is worth: one changed at a time, and the good ones together.

`python -m experiments.dqn_ablation` trains what `runs/dqn_ablation` does not hold yet and writes
`docs/dqn-ablation.md` with its picture; `--only double twin` trains these variants only. Killed,
it goes on where it was. A table row is a variant and the flags of `rtg train dqn` that make it.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks import machine

from experiments.finished import found_in, last_of, seconds_of
from rewardtogo import validate
from rewardtogo.cli.flags import parse
from rewardtogo.devices import prepare
from rewardtogo.figures import new_figure, save_figure
from rewardtogo.recipes import DQNRecipe, default_recipe
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.settings import RunSettings, Settings
from rewardtogo.statistics import Interval, stratified_bootstrap


RUNS = Path("runs/dqn_ablation")
EVALUATIONS, EPISODES = 10, 100
GAUGE = "eval/q_minus_return"

VARIANTS: dict[str, str] = {
    "dqn": "",
    "double": "--double",
    "twin": "--twin",
    "dueling": "--dueling",
    "prioritised": "--prioritised --importance-updates 250000",
    "n-step": "--n-step 3",
    "squared": "--loss squared",
    "polyak": "--target-period 1 --polyak-rate 0.005",
    "boltzmann": "--exploration boltzmann --temperature-start 1 --temperature-end 0.02",
    "half the updates": "--num-updates 4",
    "twice the updates": "--num-updates 16",
    "together": "--double --dueling --n-step 3 --prioritised --importance-updates 250000",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    only: tuple[str, ...] = ()
    """Variants to train; all without a name."""
    env: str = "MinAtar/Breakout-v1"
    """The environment."""
    steps: int = 2_000_000
    """Environment steps of each seed."""
    seeds: int = 5
    """Seeds, from 0."""
    output: Path = Path("docs")
    """Where the page and, under `images`, its picture are written."""

    def __post_init__(self):
        for name in self.only:
            validate.one_of("variant", name, VARIANTS)
        validate.count("steps", self.steps)
        validate.count("seeds", self.seeds)

    def folder(self, variant: str) -> RunFolder:
        """Runs of another environment or length stand apart."""
        what = f"{self.env.replace('/', '-')}-{self.steps}-{self.seeds}"
        return RunFolder(RUNS / what / variant.replace(" ", "-"))

    def base(self) -> DQNRecipe:
        """The tuned settings; exploration takes the same share of the run, whatever its length."""
        tuned = default_recipe("dqn", self.env)
        assert isinstance(tuned, DQNRecipe)
        updates = max(1, tuned.algorithm.epsilon_updates * self.steps // tuned.total_steps)
        algorithm = dataclasses.replace(tuned.algorithm, epsilon_updates=updates)
        return dataclasses.replace(tuned, algorithm=algorithm, total_steps=self.steps)

    def settings(self, variant: str) -> Settings:
        """Of a variant's run."""
        flags = shlex.split(VARIANTS[variant])
        recipe = parse(DQNRecipe, flags, prog=variant, description="", default=self.base())
        run = RunSettings(
            seeds=self.seeds,
            eval_every=max(1, self.steps // EVALUATIONS),
            eval_episodes=EPISODES,
        )
        return Settings(recipe, self.env, run)


def train(options: Options, variant: str) -> None:
    """All seeds of a variant; what is finished stays, what was killed goes on."""
    folder = options.folder(variant)
    if not folder.evaluation.exists():
        print(f"{variant}: {VARIANTS[variant] or 'as tuned'}", flush=True)
        fit_settings(options.settings(variant), run_dir=folder.path, resume=folder.path.exists())


@dataclasses.dataclass(frozen=True)
class Row:
    """What a finished variant shows."""

    variant: str
    final: Interval
    seeds: tuple[float, ...]
    gauge: Interval
    seconds: float

    def __str__(self) -> str:
        flags = f"`{VARIANTS[self.variant]}`" if VARIANTS[self.variant] else "–"
        seeds = ", ".join(f"{value:.3g}" for value in self.seeds)
        cells = (self.variant, flags, self.final, seeds, self.gauge, f"{self.seconds:,.0f}")
        return f"| {' | '.join(map(str, cells))} |"


def row(options: Options, variant: str) -> Row:
    """Read a finished variant."""
    folder = options.folder(variant)
    found, rows = found_in(folder), read_rows(folder.metrics)
    gauge = stratified_bootstrap(last_of(rows, GAUGE), seed=0)
    return Row(variant, found.iqm, found.means, gauge, seconds_of(rows))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Final returns and gauges side by side, a line for each variant, seeds as thin dots."""
    drawing = new_figure((8.0, 0.9 + 0.36 * len(rows)))
    axes = drawing.subplots(1, 2, sharey=True)
    _panel(axes[0], [r.final for r in rows], "final return")
    _panel(axes[1], [r.gauge for r in rows], "Q̂(s₀) − discounted return")
    axes[1].axvline(0, color="0.35", linewidth=1, linestyle="--")
    for place, one in enumerate(rows):
        axes[0].plot(one.seeds, [place] * len(one.seeds), ".", color="0.6", zorder=1)
    axes[0].set_yticks(range(len(rows)), [one.variant for one in rows])
    axes[0].invert_yaxis()
    save_figure(drawing, path)


def _panel(axes, intervals: Sequence[Interval], label: str) -> None:
    middle = np.array([i.estimate for i in intervals])
    ends = [(i.estimate, i.estimate) if i.low is None else (i.low, i.high) for i in intervals]
    low, high = np.array(ends, float).T
    axes.errorbar(
        middle,
        range(len(middle)),
        xerr=np.maximum([middle - low, high - middle], 0),
        fmt="o",
        color="#0072B2",
        capsize=3,
        zorder=2,
    )
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def write_page(options: Options) -> None:
    """Write what is finished: a line and a mark in the picture for each variant."""
    done = [v for v in VARIANTS if options.folder(v).evaluation.exists()]
    rows = [row(options, variant) for variant in done]
    picture = options.output / "images" / "dqn-ablation.png"
    draw(rows, picture)
    lines = [introduction(options), *map(str, rows), "", f"On {machine.describe()}.", ""]
    lines += ["![Final returns and surplus of Q by variant](images/dqn-ablation.png)"]
    (options.output / "dqn-ablation.md").write_text("\n".join(lines) + "\n")


def introduction(options: Options) -> str:
    """What was done, and the head of the table."""
    return f"""# DQN, option by option

[DQN](algorithms/dqn.md) on {options.env}, {options.steps:,} steps a seed, {options.seeds} seeds
(0 to {options.seeds - 1}, none chosen), with the settings of `recipes/dqn.py` and one option
changed; `together` takes those that are usually combined (Hessel et al., 2018, without noise and
without a distribution of returns). The settings were found for plain DQN and not for the variants.

The return is that of the final greedy policy, {EPISODES} episodes a seed on start states apart from
training: interquartile mean over seeds with its 95 % bootstrap interval, which so few seeds make
too short. Q̂ − return is [the gauge](algorithms/dqn.md#the-gauge) of the same policy: what Q̂
promises at the start above the discounted return that was earned. Seconds are of training all
seeds, evaluations included, on a machine that did other work too: no benchmark.

`python -m experiments.dqn_ablation` repeats it (`--only double twin` for single variants; what is
in `{RUNS}` is kept).

| variant | flags | final return, IQM | each seed | Q̂ − return, IQM | seconds |
|---|---|---|---|---|---|"""


def main(options: Options) -> None:
    """Train what is named, or all that is missing; the page is renewed after each."""
    for variant in options.only or VARIANTS:
        train(options, variant)
        write_page(options)


if __name__ == "__main__":
    chosen = parse(Options, sys.argv[1:], prog="dqn_ablation", description=__doc__ or "")
    prepare("auto", chosen.seeds)
    main(chosen)
