"""`rtg predict METHOD PROBLEM`: learn the values of a policy from samples, against the truth."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import validate
from ..tabular.problems.problem import Problem
from . import off_policy_prediction
from .flags import parse
from .predict_options import APPROXIMATE, Predict, ValuesAndMethod, check, learners
from .waiting import waiting


if TYPE_CHECKING:
    from ..td.prediction.run import Prediction


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
    check(options)
    if options.picture is not None:
        from ..figures import require_writable

        require_writable(options.picture)
    from ..devices import prepare
    from ..tabular.problems.catalogue import problem, problem_names

    if options.problem is None:
        raise ValueError(f"which problem? A file, or one of: {', '.join(problem_names())}.")
    prepare("cpu", len(options.step_sizes) * options.seeds)
    named = problem(options.problem, discount=options.discount)
    variants = learners(options, named)
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


def _predictions(
    named: Problem, variants: dict[str, ValuesAndMethod], options: Predict
) -> "dict[str, Prediction]":
    from ..td.prediction.run import predict

    policy = _policy(named, options.policy)
    default = named.max_steps or 10_000
    return {
        name: predict(
            learner.method,
            named.mdp,
            policy,
            step_sizes=options.step_sizes,
            episodes=options.episodes,
            seeds=options.seeds,
            seed=options.seed,
            max_steps=default if options.max_steps is None else options.max_steps,
            initial_value=options.initial_value,
            values=learner.values,
            averaging=options.averaging,
        )
        for name, learner in variants.items()
    }


def _policy(named: Problem, policy: str) -> np.ndarray:
    from ..tabular.problems.files import POLICY_SUFFIXES, read_policy
    from ..tabular.solvers.optimal import answer

    states, actions = named.mdp.num_states, named.mdp.num_actions
    if Path(policy).suffix:
        return read_policy(policy, num_states=states, num_actions=actions)
    files = [f"FILE{suffix}" for suffix in POLICY_SUFFIXES]
    validate.one_of("policy", policy, ["uniform", "optimal", *files])
    if policy == "uniform":
        return np.full((states, actions), 1 / actions)
    return np.eye(actions)[answer(named.mdp).policy]


def _as_text(
    named: Problem, found: "dict[str, Prediction]", options: Predict, seconds: float
) -> str:
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


def _whose(options: Predict) -> str:
    named = options.policy in ("uniform", "optimal")
    return f"{options.policy} policy" if named else f"policy of {options.policy}"


def _promise(decay: float) -> str:
    """Whether α n^(−ω) is such that values converge with probability 1."""
    from ..td.steps.step_sizes import settles

    if settles(decay):
        return "meet the conditions of Robbins and Monro"
    why = "they are constant" if decay == 0 else "the sum of their squares is infinite"
    return f"do not meet the conditions of Robbins and Monro, so that V does not settle: {why}"


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


def _draw(named: Problem, found: "dict[str, Prediction]", options: Predict) -> None:
    from ..td.prediction.figure import draw

    assert options.picture is not None
    title = f"{named.name}, {options.method}: {options.seeds} seeds, bands 95 %"
    draw(found, options.picture, title=title, by_state=options.method in APPROXIMATE)
    if not options.json:
        print(options.picture)
