"""`rtg predict METHOD PROBLEM`: learn the values of a policy from samples, against the truth."""

import dataclasses
import enum
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from .. import validate
from ..tabular.problem import Problem
from ..td.prediction import TD0, AbstractPredictor
from ..td.prediction_monte_carlo import MonteCarlo, Visits
from ..td.prediction_n_step import NStepTD
from ..td.prediction_traces import TDLambda, Trace
from . import off_policy_prediction
from .flags import parse
from .waiting import waiting


if TYPE_CHECKING:
    from ..td.predicting import Prediction


METHODS = {
    "mc-first": "Monte Carlo, each state's first visit in an episode",
    "mc-every": "Monte Carlo, every visit",
    "td0": "temporal differences of one step",
    "td-lambda": "temporal differences with eligibility traces",
    "n-step": "temporal differences of n steps",
}
_NAMES = (*METHODS, *off_policy_prediction.NAMES)


class Policy(enum.Enum):
    """Whose values are learned."""

    UNIFORM = "uniform"
    OPTIMAL = "optimal"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    method: tyro.conf.Positional[str | None] = None
    """mc-first, mc-every, td0, td-lambda or n-step; or off-policy-td, emphatic-td, gtd2 or tdc,
    whose options `rtg predict tdc --help` tells."""
    problem: tyro.conf.Positional[str | None] = None
    """An MDP by name, or the path of a file that holds one (.npz, .json)."""
    step_sizes: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    """α, each one of them."""
    step_decay: float = 0.0
    """ω: the n-th update of a state takes α n^(−ω); 1 with α = 1 is the mean of all targets."""
    trace_decay: tuple[float, ...] = ()
    """λ of td-lambda, each one of them; 0.9 by default."""
    trace: Trace | None = None
    """The trace of td-lambda; dutch, true online TD(λ), by default."""
    n: tuple[int, ...] = ()
    """Rewards before the value in n-step, each one of them; 4 by default."""
    policy: Policy = Policy.UNIFORM
    """Whose values: all actions equally likely, or the best one."""
    episodes: int = 10
    """Of each run."""
    seeds: int = 100
    """Independent runs."""
    seed: int = 0
    """Of everything that is random."""
    max_steps: int | None = None
    """An episode is truncated after so many; the problem's own limit, or 10,000, by default."""
    initial_value: float = 0.0
    """What every state is worth at first."""
    discount: float | None = None
    """γ; the problem's own by default."""
    picture: Path | None = None
    """Draw the errors into this file."""
    json: bool = False
    """Print JSON only, with the error of every step size after every episode."""


def run(argv: Sequence[str]) -> int:
    """Learn, print, draw."""
    if any(word in off_policy_prediction.NAMES for word in argv):
        return off_policy_prediction.run(argv)
    options = parse(
        Predict,
        argv,
        prog="rtg predict",
        description="Learn the values of a policy from samples, against the exact values.",
    )
    variants = _variants(options)
    if options.picture is not None:
        from ..drawing import require_suffix

        require_suffix(options.picture)
    from ..tabular.catalogue import problem, problem_names
    from .machine import prepare

    if options.problem is None:
        raise ValueError(f"which problem? A file, or one of: {', '.join(problem_names())}.")
    prepare("cpu", len(options.step_sizes) * options.seeds)
    named = problem(options.problem, discount=options.discount)
    began = time.monotonic()
    with waiting("learning", quiet=options.json):
        found = _predictions(named, variants, options)
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(_as_json(named, found, options)))
    else:
        print(_as_text(named, found, options, seconds))
    if options.picture is not None:
        _draw(named, found, options)
    return 0


def _variants(options: Predict) -> dict[str, AbstractPredictor]:
    """The methods asked for, by what they are called in tables and pictures."""
    if options.method is None:
        raise ValueError(f"which method? One of: {', '.join(_NAMES)}.")
    validate.one_of("method", options.method, _NAMES)
    if options.method != "td-lambda" and (options.trace_decay or options.trace is not None):
        raise ValueError("`trace_decay` and `trace` are for the method td-lambda.")
    if options.method != "n-step" and options.n:
        raise ValueError("`n` is for the method n-step.")
    validate.count("seeds", options.seeds)  # the machine is prepared for as many
    decay = options.step_decay
    match options.method:
        case "mc-first" | "mc-every":
            visits = Visits(options.method.removeprefix("mc-"))
            return {options.method: MonteCarlo(visits=visits, step_decay=decay)}
        case "td-lambda":
            trace, lambdas = options.trace or Trace.DUTCH, options.trace_decay or (0.9,)
            return {
                f"{trace.value}, λ = {x:g}": TDLambda(trace=trace, trace_decay=x, step_decay=decay)
                for x in lambdas
            }
        case "n-step":
            return {f"n = {n}": NStepTD(n=n, step_decay=decay) for n in options.n or (4,)}
        case _:
            return {"td0": TD0(step_decay=decay)}


def _predictions(
    named: Problem, variants: dict[str, AbstractPredictor], options: Predict
) -> "dict[str, Prediction]":
    from ..td.predicting import predict

    policy = _policy(named, options.policy)
    default = named.max_steps or 10_000
    return {
        name: predict(
            method,
            named.mdp,
            policy,
            step_sizes=options.step_sizes,
            episodes=options.episodes,
            seeds=options.seeds,
            seed=options.seed,
            max_steps=default if options.max_steps is None else options.max_steps,
            initial_value=options.initial_value,
        )
        for name, method in variants.items()
    }


def _policy(named: Problem, policy: Policy) -> np.ndarray:
    mdp = named.mdp
    if policy is Policy.UNIFORM:
        return np.full((mdp.num_states, mdp.num_actions), 1 / mdp.num_actions)
    from ..tabular.answers import answer

    return np.eye(mdp.num_actions)[answer(mdp).policy]


def _as_text(
    named: Problem, found: "dict[str, Prediction]", options: Predict, seconds: float
) -> str:
    first = next(iter(found.values()))
    exact, counted = first.exact[first.counted], int(first.counted.sum())
    width = max(len("method"), *map(len, found))
    lines = [
        f"{named.name}, discount {named.mdp.discount:g}, {options.policy.value} policy: {counted} "
        f"states, exact values from {exact.min():.4g} to {exact.max():.4g}",
        f"{options.method}: {options.seeds} seeds of {options.episodes} episodes, "
        f"{len(options.step_sizes)} step sizes; {seconds:.2f} s, compiling included",
        "",
        f"{'method':<{width}}  best α  RMS error [95 %]",
    ]
    for name, prediction in found.items():
        best = prediction.best()
        what = "every step size diverged"
        if best is not None:
            size = prediction.step_sizes[best]
            what = f"{size:<6g}  {prediction.mean_errors()[best]}"
        lines.append(f"{name:<{width}}  {what}")
    lines += ["", "The error is averaged over states, then over episodes and seeds."]
    if first.truncated > 0:
        skipped = ", and nothing learned from them" if "mc" in str(options.method) else ""
        lines.append(f"{100 * first.truncated:.3g} % of the episodes were truncated{skipped}.")
    return "\n".join(lines)


def _as_json(named: Problem, found: "dict[str, Prediction]", options: Predict) -> dict[str, Any]:
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
        "policy": options.policy.value,
        "method": options.method,
        "episodes": options.episodes,
        "seeds": options.seeds,
        "seed": options.seed,
        "truncated": first.truncated,
        "exact_values": first.exact.tolist(),
        "results": rows,
    }


def _draw(named: Problem, found: "dict[str, Prediction]", options: Predict) -> None:
    from ..td.prediction_picture import draw

    assert options.picture is not None
    title = f"{named.name}, {options.method}: {options.seeds} seeds, bands 95 %"
    draw(found, options.picture, title=title)
    if not options.json:
        print(options.picture)
