"""A run of tabular control in words, as JSON, and drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ...figures import new_figure, save_figure
from ...statistics import Interval, curve_band, stratified_bootstrap
from ...tabular.problems.problem import phases
from ...tabular.show.board import text as board
from ..columns import columns
from .run import ControlResult


if TYPE_CHECKING:
    from matplotlib.axes import Axes


_ROWS = 10
_HEAD = ("steps", "max |Q - Q*|", "greedy policy", "return of episodes", "regret so far")
# Okabe and Ito (2008), as in `plot`.
_COLOUR = "#0072B2"


def mean_over_seeds(values: Float[np.ndarray, " seeds"]) -> Interval | None:
    """Their mean with its 95 % bootstrap interval; of those that are numbers, None without any."""
    known = values[np.isfinite(values)]
    return stratified_bootstrap(known, np.mean, seed=0) if known.size else None


def as_text(result: ControlResult, *, title: str, converges: bool | None) -> str:
    """The table over time, the greedy policy of the first seed where there is a board for it.

    `converges`: what the step sizes promise; None where there are none.
    """
    value, optimum = result.value[:, -1], result.exact.optimum
    close = int(np.sum(value >= optimum - 0.01 * abs(optimum)))
    _, *changes = phases(result.problem)
    last = changes[-1][1] if changes else result.problem
    lines = [
        title,
        f"{len(value)} seeds of {result.steps[-1]:,} steps, {result.seconds:.1f} s, compiling "
        "included; means over seeds, [95 % interval]",
        *_promise(converges),
        *(f"after {step:,} steps the problem becomes {form.name}" for step, form in changes),
        "",
        *columns([_HEAD, *(_row(result, at) for at in _shown(len(result.steps)))]),
        "",
        f"exact optimum {optimum:.6g}: {close} of {len(value)} greedy policies within 1 %",
    ]
    q = result.action_values[0]
    if last.grid is not None:
        best = q == q.max(axis=1, keepdims=True)
        lines += ["", "max Q and greedy actions, first seed:", ""]
        lines += [board(last, q.max(axis=1).astype(float), best)]
    return "\n".join(lines)


def _promise(converges: bool | None) -> list[str]:
    if converges is None:
        return []
    word, why = ("meet", "") if converges else ("do not meet", ", so that Q does not settle")
    constant = "" if converges else ": they are constant"
    return [f"the step sizes {word} the conditions of Robbins and Monro{why}{constant}"]


def _shown(points: int) -> list[int]:
    return sorted({points * (i + 1) // _ROWS - 1 for i in range(_ROWS)} - {-1})


def _row(result: ControlResult, at: int) -> list[str]:
    cells = (result.error, result.value, result.returns, result.regret)
    means = [mean_over_seeds(cell[:, at]) for cell in cells]
    words = ["none ended" if mean is None else str(mean) for mean in means]
    return [f"{result.steps[at]:,}", *words]


def as_json(result: ControlResult) -> dict[str, Any]:
    """Every number; where no episode ended the mean return is null."""
    rows = lambda x: [[float(v) if np.isfinite(v) else None for v in row] for row in x]
    return {
        "problem": result.problem.name,
        "discount": result.problem.mdp.discount,
        "optimum": result.exact.optimum,
        "optima": result.optimum.tolist(),
        "changes": [[step, form.name] for step, form in phases(result.problem) if step],
        "seconds": result.seconds,
        "steps": result.steps.tolist(),
        "error": rows(result.error),
        "value": rows(result.value),
        "returns": rows(result.returns),
        "episodes": rows(result.episodes),
        "regret": rows(result.regret),
        "reward": rows(result.reward),
        "action_values": result.action_values.tolist(),
    }


def draw(result: ControlResult, path: Path, *, title: str) -> Path:
    """Draw error, value of the greedy policy, and regret over steps, with bands over seeds."""
    drawing = new_figure((10.0, 3.2))
    error, value, regret = drawing.subplots(1, 3)
    _curve(error, result, result.error, "max |Q − Q*|")
    _curve(value, result, result.value, "value of the greedy policy")
    _curve(regret, result, result.regret, "regret so far")
    line = {"color": "0.35", "linewidth": 1}
    # Each point is at the end of its stretch.
    value.step(
        np.append(0, result.steps),
        np.append(result.optimum[0], result.optimum),
        **line,
        linestyle="--",
        label="optimum",
    )
    for axes in (error, value, regret):
        for step, _ in phases(result.problem):
            if step:
                axes.axvline(step, linestyle=":", **line)
    value.legend(frameon=False, fontsize="small")
    # At γ = 1 a policy that never ends may be worth next to nothing, and would hide the others.
    low, high = np.quantile(result.value, 0.1), max(result.value.max(), result.optimum.max())
    value.set_ylim(low - 0.1 * (high - low) - 1e-9, high + 0.1 * (high - low) + 1e-9)
    drawing.suptitle(title, fontsize="medium", fontweight="bold")
    return save_figure(drawing, path)


def _curve(
    axes: "Axes", result: ControlResult, values: Float[np.ndarray, "seeds points"], name: str
) -> None:
    band = curve_band([result.steps] * len(values), list(values), np.mean)
    axes.plot(band.steps, band.center, color=_COLOUR)
    if band.low is not None and band.high is not None:
        axes.fill_between(band.steps, band.low, band.high, color=_COLOUR, alpha=0.25, linewidth=0)
    axes.set_xlabel("steps of each seed")
    axes.set_title(name, loc="left", fontsize="medium")
    axes.grid(color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
