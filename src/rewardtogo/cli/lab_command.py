"""`rtg lab`: every gradient estimator against the exact gradient, and theorems with numbers."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax.random as jr
import tyro

from .. import validate
from ..lab import theorems
from ..lab.comparison import context, figure, run as comparison, table
from ..lab.theorems import run as theorems_run
from ..tabular.problems.catalogue import problem, problem_names
from . import frame


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lab(frame.AbstractCommand):
    """Bias, variance and cost of gradient estimators on a small MDP; theorems."""

    doing: ClassVar[str] = ""
    indent: ClassVar[int | None] = 2

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

    def check(self) -> int:
        validate.whole_seed("seed", self.seed)
        (_check_theorems if self.theorems else _check_estimators)(self)
        return 1

    def start(self) -> frame.Work:
        return _theorems(self) if self.theorems else _estimators(self)


def run(argv: Sequence[str]) -> int:
    """Print the table, or the theorems; exit status 1 if one of these fails."""
    return frame.run(Lab, argv, prog="rtg lab")


def _check_estimators(options: Lab) -> None:
    if options.only:
        raise ValueError("`only` names theorems: it needs `theorems`.")
    if options.problem is None:
        raise ValueError(f"which problem? One of {', '.join(problem_names())}.")
    context.check_numbers(horizon=options.horizon, batch=options.batch)
    comparison.check_trajectories(options.trajectories, batch=options.batch)


def _estimators(options: Lab) -> frame.Work:
    chosen = comparison.named(options.estimators)
    found = problem(str(options.problem), discount=options.discount)
    policy_key, sample_key = jr.split(jr.key(options.seed))
    setting = context.softmax_setting(
        found.mdp,
        horizon=options.horizon,
        batch=options.batch,
        policy_scale=options.policy_scale,
        behaviour_scale=options.behaviour_scale,
        value_error=options.value_error,
        key=policy_key,
    )
    return frame.Work(
        run=lambda: comparison.compare(
            setting,
            estimators=chosen,
            trajectories=options.trajectories,
            key=sample_key,
            quiet=options.json,
        ),
        as_json=lambda result, _: table.to_json(result, name=found.name),
        as_text=lambda result, _: table.table(result, title=found.name, explain=options.explain),
        draw=lambda result, path: figure.draw(result, path, title=found.name),
    )


def _check_theorems(options: Lab) -> None:
    if options.problem is not None:
        raise ValueError(f"`theorems` draw their own cases; got the problem {options.problem!r}.")
    if options.picture is not None or options.estimators or options.explain:
        raise ValueError("`picture`, `estimators` and `explain` do not go with `theorems`.")
    validate.count("cases", options.cases)


def _theorems(options: Lab) -> frame.Work:
    chosen = theorems_run.chosen(theorems.THEOREMS, options.only)
    key = jr.key(options.seed)
    return frame.Work(
        run=lambda: theorems_run.run_theorems(
            chosen, cases=options.cases, key=key, quiet=options.json
        ),
        as_json=lambda outcomes, _: theorems_run.outcomes_json(outcomes),
        as_text=lambda outcomes, _: theorems_run.report(outcomes),
        succeeded=lambda outcomes: all(outcome.holds for outcome in outcomes),
    )
