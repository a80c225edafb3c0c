"""What `rtg predict` found, in words and as JSON."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..tabular.problems.problem import Problem
from ..td.prediction.run import Prediction
from ..td.steps.step_sizes import settles


if TYPE_CHECKING:
    from .predict_values import PredictValues


type Found = dict[str, Prediction]


def as_text(named: Problem, found: Found, options: "PredictValues", seconds: float) -> str:
    """The best step size of each learner, and what the step sizes promise."""
    first = next(iter(found.values()))
    exact, counted = first.exact[first.counted], int(first.counted.sum())
    width = max(len("method"), *map(len, found))
    lines = [
        f"{named.name}, discount {named.mdp.discount:g}, {_whose(options)}: {counted} "
        f"states, exact values from {exact.min():.4g} to {exact.max():.4g}",
        f"{options.method}: {options.seeds} seeds of {options.episodes} episodes, "
        f"{len(options.step_sizes)} step sizes; {seconds:.2f} s, compiling included",
        f"the step sizes {_promise(options.step_decay)}",
        "",
        f"{'method':<{width}}  best α  RMS error [95 %]; after the last episode",
    ]
    for name, prediction in found.items():
        best = prediction.best()
        what = "every step size diverged"
        if best is not None:
            size = prediction.step_sizes[best]
            last = prediction.errors[best, :, -1].mean()
            what = f"{size:<6g}  {prediction.mean_errors()[best]}; {last:.4g}"
        lines.append(f"{name:<{width}}  {what}")
    over = options.averaging.value
    lines += ["", f"The error is averaged over {over}, then over episodes and seeds."]
    if first.truncated > 0:
        skipped = ", and nothing learned from them" if "mc" in str(options.method) else ""
        lines.append(f"{100 * first.truncated:.3g} % of the episodes were truncated{skipped}.")
    return "\n".join(lines)


def _whose(options: "PredictValues") -> str:
    named = options.policy in ("uniform", "optimal")
    return f"{options.policy} policy" if named else f"policy of {options.policy}"


def _promise(decay: float) -> str:
    """Whether α n^(−ω) is such that values converge with probability 1."""
    if settles(decay):
        return "meet the conditions of Robbins and Monro"
    why = "they are constant" if decay == 0 else "the sum of their squares is infinite"
    return f"do not meet the conditions of Robbins and Monro, so that V does not settle: {why}"


def as_json(named: Problem, found: Found, options: "PredictValues") -> dict[str, Any]:
    """Errors of every step size after every episode, null where it diverged."""
    first = next(iter(found.values()))
    finite = lambda x: [float(v) if np.isfinite(v) else None for v in x]
    rows = [
        {
            "name": name,
            "step_size": size,
            "mean_error": None if mean is None else mean.estimate,
            "interval": None if mean is None else [mean.low, mean.high],
            "error_by_episode": finite(prediction.errors[i].mean(axis=0)),
            "values": finite(prediction.values[i].mean(axis=0)),
        }
        for name, prediction in found.items()
        for i, (size, mean) in enumerate(
            zip(prediction.step_sizes, prediction.mean_errors(), strict=True)
        )
    ]
    return {
        "problem": named.name,
        "discount": named.mdp.discount,
        "policy": options.policy,
        "method": options.method,
        "averaging": options.averaging.value,
        "episodes": options.episodes,
        "seeds": options.seeds,
        "seed": options.seed,
        "truncated": first.truncated,
        "exact_values": first.exact.tolist(),
        "results": rows,
    }
