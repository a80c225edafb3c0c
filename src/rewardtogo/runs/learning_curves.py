"""Learning curves of one or several runs: every seed thin, their interquartile mean bold."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..figures import new_figure, save_figure
from ..files import read_json
from ..statistics import Statistic, curve_band, interquartile_mean
from ..types import STEPS
from .evaluation import optimum_from_json
from .folder import RunFolder
from .metrics import progress_of, read_rows


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..types import Optimum


EVALUATED, TRAINED, LOSS = "eval/mean_reward", "rollout/ep_rew_mean", "eval/loss"
# Okabe and Ito (2008): told apart by readers who do not see every colour; yellow is too light.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_NAMES = {
    interquartile_mean: "interquartile mean",
    EVALUATED: "return, evaluation",
    TRAINED: "return, training episodes",
    LOSS: "held-out loss",
}


def learning_curves(
    runs: Sequence[Path],
    path: Path,
    *,
    tag: str | None = None,
    labels: Sequence[str] | None = None,
    statistic: Statistic = interquartile_mean,
    level: float = 0.95,
    reference: float | None = None,
    reference_label: str = "reference",
) -> Path:
    """Draw the learning curves of `runs` into the picture at `path`, its format by the suffix.

    Arguments and errors are those of `figure`; also raises `ValueError` for an unknown suffix.
    """
    drawing = figure(
        runs,
        tag=tag,
        labels=labels,
        statistic=statistic,
        level=level,
        reference=reference,
        reference_label=reference_label,
    )
    return save_figure(drawing, path)


def figure(
    runs: Sequence[Path],
    *,
    tag: str | None = None,
    labels: Sequence[str] | None = None,
    statistic: Statistic = interquartile_mean,
    level: float = 0.95,
    reference: float | None = None,
    reference_label: str = "reference",
) -> "Figure":
    """Draw the learning curves of `runs`, a colour each, with a band over the seeds of each.

    **Arguments:** `runs`: run folders. `tag`: the metric; without it the evaluation's mean reward
    where every run has one, else the training episodes'. `labels`: a name for each run.
    `statistic`, `level`: of the bold line and its band, as in `curve_band`. `reference`: the
    height of a dashed line; without it the exact optimum that the runs' evaluations hold, where
    returns of one environment are drawn.
    **Raises:** `ValueError` if a folder has no such rows; `ImportError` without matplotlib.
    """
    if not runs:
        raise ValueError("there are no runs to draw")
    if labels is not None and len(labels) != len(runs):
        raise ValueError(f"{len(runs)} runs need as many labels, got {len(labels)}")
    rows = [read_rows(RunFolder(run).metrics) for run in runs]
    drawn_tag = tag or _common_tag(rows)
    drawing = new_figure((7.2, 4.4))
    axes = drawing.add_subplot()
    names, title = _names(runs)
    for i, (run, name) in enumerate(zip(runs, labels or names, strict=True)):
        curves = _by_seed(rows[i], drawn_tag)
        if not curves:
            raise ValueError(f"{RunFolder(run).metrics} has no row with {drawn_tag!r}")
        colour = _COLOURS[i % len(_COLOURS)]
        _draw_run(axes, curves, name=name, colour=colour, statistic=statistic, level=level)
    optimum = None if reference is not None else _common_optimum(runs, drawn_tag)
    if optimum is not None:
        reference, reference_label = optimum.value, str(optimum)
    if reference is not None:
        axes.axhline(reference, color="0.35", linewidth=1, linestyle="--", label=reference_label)
    units = {_facts(run).get("unit", STEPS.name) for run in runs}
    unit = "environment steps" if units == {STEPS.name} else " and ".join(sorted(units))
    _dress(axes, title=title, ylabel=_NAMES.get(drawn_tag, drawn_tag), unit=unit)
    return drawing


def _common_tag(rows: Sequence[Sequence[dict[str, Any]]]) -> str:
    everywhere = lambda tag: all(any(tag in row for row in run) for run in rows)
    return next((tag for tag in (EVALUATED, LOSS) if everywhere(tag)), TRAINED)


def _common_optimum(runs: Sequence[Path], tag: str) -> "Optimum | None":
    """What bounds every curve drawn; None where that is not known."""
    facts = [_facts(run) for run in runs]
    if tag not in (EVALUATED, TRAINED) or len({fact.get("environment") for fact in facts}) > 1:
        return None
    files = [file for file in (RunFolder(run).evaluation for run in runs) if file.is_file()]
    found = {optimum_from_json(read_json(file)) for file in files} - {None}
    optimum = found.pop() if len(found) == 1 else None
    if optimum is not None and tag == TRAINED:
        cuts = [fact.get("recipe", {}).get("max_episode_steps") for fact in facts]
        # Where every step costs, an episode cut short in training has a larger return.
        if any(cut is not None and cut < optimum.steps for cut in cuts):
            return None
    return optimum


def _facts(run: Path) -> dict[str, Any]:
    file = RunFolder(run).settings
    return read_json(file) if file.is_file() else {}


def _by_seed(rows: Sequence[dict[str, Any]], tag: str) -> list[tuple[list[float], list[float]]]:
    """Steps and values of every seed that has any."""
    curves: dict[int, tuple[list[float], list[float]]] = {}
    for row in rows:
        if row.get(tag) is not None:
            steps, values = curves.setdefault(row["seed"], ([], []))
            steps.append(progress_of(row))
            values.append(float(row[tag]))
    return [curves[seed] for seed in sorted(curves)]


def _names(runs: Sequence[Path]) -> tuple[list[str], str]:
    """A name for each run, and the title: what all have in common is said once, in the title."""
    facts = [_facts(run) for run in runs]
    algorithms = [str(fact.get("algorithm", "")) for fact in facts]
    environments = [str(fact.get("environment", "")) for fact in facts]
    title = environments[0] if len(set(environments)) == 1 else ""
    parts = zip(algorithms, [""] * len(runs) if title else environments, strict=True)
    names = [" ".join(filter(None, part)) for part in parts]
    # Runs that do not differ in these are told apart by their folders.
    folders = [run.resolve().name for run in runs]
    told = [n if n and names.count(n) == 1 else f for n, f in zip(names, folders, strict=True)]
    return told, title


def _draw_run(
    axes: "Axes",
    curves: Sequence[tuple[list[float], list[float]]],
    *,
    name: str,
    colour: str,
    statistic: Statistic,
    level: float,
) -> None:
    steps, values = zip(*curves, strict=True)
    band = curve_band(steps, values, statistic, level=level)
    several = len(curves) > 1
    seeds = f"{len(curves)} seeds" if several else "1 seed"
    if several:
        for own_steps, own_values in curves:
            axes.plot(own_steps, own_values, color=colour, linewidth=0.7, alpha=0.3, zorder=1)
    if band.low is not None and band.high is not None:
        axes.fill_between(
            band.steps, band.low, band.high, color=colour, alpha=0.2, linewidth=0, zorder=2
        )
        what = _NAMES.get(statistic, getattr(statistic, "__name__", "centre"))
        seeds = f"{what} of {seeds}, {100 * level:g} % interval"
    axes.plot(
        band.steps,
        band.center,
        color=colour,
        linewidth=2,
        zorder=3,
        marker="o" if band.steps.size == 1 else None,
        label=f"{name} ({seeds})",
    )


def _dress(axes: "Axes", *, title: str, ylabel: str, unit: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(f"{unit} per seed")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    axes.legend(frameon=False, fontsize="small", loc="best")
