"""`rtg lab`: every gradient estimator against the exact gradient, and theorems with numbers."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import jax.random as jr
import tyro

from .. import validate
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lab:
    problem: tyro.conf.Positional[str | None] = None
    """The MDP by name, or the path of a file that holds one."""
    discount: float | None = None
    """γ; the problem's own by default."""
    horizon: int = 100
    """Actions in a trajectory."""
    trajectories: int = 100_000
    """How many to sample, of each policy."""
    batch: int = 10
    """How many of them one estimate averages."""
    policy_scale: float = 0.5
    """Standard deviation of the random logits of the policy π."""
    behaviour_scale: float = 0.2
    """Standard deviation of what is added to them for the behaviour policy β."""
    value_error: float = 0.2
    """What the learned values V̂ are off by, in standard deviations of V over states."""
    estimators: tuple[str, ...] = ()
    """Only these."""
    explain: bool = False
    """Also say what each estimator is and where it comes from."""
    picture: Path | None = None
    """Draw bias and variance into this file."""
    theorems: bool = False
    """Instead, run the statements of the theory on random cases; exit status 1 if one fails."""
    only: tuple[str, ...] = ()
    """Only these theorems, by name."""
    cases: int = 3
    """Random cases a theorem."""
    seed: int = 0
    """Of everything that is random."""
    json: bool = False
    """Print JSON only."""


def run(argv: Sequence[str]) -> int:
    """Print the table, or the theorems."""
    options = parse(
        Lab,
        argv,
        prog="rtg lab",
        description="Bias, variance and cost of gradient estimators on a small MDP; theorems.",
    )
    validate.whole_seed("seed", options.seed)
    if options.theorems:
        return _theorems(options)
    if options.only:
        raise ValueError("`only` names theorems: it needs `theorems`.")
    if options.problem is None:
        from ..tabular.problems.catalogue import problem_names

        raise ValueError(f"which problem? One of {', '.join(problem_names())}.")
    return _estimators(options)


def _estimators(options: Lab) -> int:
    from ..devices import prepare
    from ..figures import require_writable
    from ..lab.comparison.context import check_numbers, softmax_setting
    from ..lab.comparison.figure import draw
    from ..lab.comparison.run import check_trajectories, compare, named
    from ..lab.comparison.table import table, to_json
    from ..tabular.problems.catalogue import problem

    assert options.problem is not None
    check_numbers(horizon=options.horizon, batch=options.batch)
    check_trajectories(options.trajectories, batch=options.batch)
    chosen = named(options.estimators)
    if options.picture is not None:
        require_writable(options.picture)
    prepare("cpu", 1)
    found = problem(options.problem, discount=options.discount)
    policy_key, sample_key = jr.split(jr.key(options.seed))
    setting = softmax_setting(
        found.mdp,
        horizon=options.horizon,
        batch=options.batch,
        policy_scale=options.policy_scale,
        behaviour_scale=options.behaviour_scale,
        value_error=options.value_error,
        key=policy_key,
    )
    result = compare(
        setting,
        estimators=chosen,
        trajectories=options.trajectories,
        key=sample_key,
        quiet=options.json,
    )
    if options.picture is not None:
        draw(result, options.picture, title=found.name)
    if options.json:
        print(json.dumps(to_json(result, name=found.name), indent=2))
    else:
        print(table(result, title=found.name, explain=options.explain))
    return 0


def _theorems(options: Lab) -> int:
    from ..devices import prepare
    from ..lab.theorems import THEOREMS
    from ..lab.theorems.run import chosen, outcomes_json, report, run_theorems

    if options.problem is not None:
        raise ValueError(f"`theorems` draw their own cases; got the problem {options.problem!r}.")
    if options.picture is not None or options.estimators or options.explain:
        raise ValueError("`picture`, `estimators` and `explain` do not go with `theorems`.")
    validate.count("cases", options.cases)
    theorems = chosen(THEOREMS, options.only)
    prepare("cpu", 1)
    key = jr.key(options.seed)
    outcomes = run_theorems(theorems, cases=options.cases, key=key, quiet=options.json)
    print(json.dumps(outcomes_json(outcomes), indent=2) if options.json else report(outcomes))
    return 0 if all(outcome.holds for outcome in outcomes) else 1
