"""Run theorems: each over several random cases, the worst of which counts."""

import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import jax.random as jr
from jaxtyping import PRNGKeyArray

from ... import validate
from ...progress import Progress
from .theorem import Sides, Theorem


@dataclasses.dataclass(frozen=True, kw_only=True)
class TheoremResult:
    """What became of a theorem: its comparisons, each in the case where it held least.

    `failures`: in how many of the `cases` one failed.
    """

    theorem: Theorem
    cases: int
    failures: int
    worst: tuple[Sides, ...]

    @property
    def holds(self) -> bool:
        """Whether it held in every case."""
        return self.failures == 0


def chosen(theorems: Sequence[Theorem], names: Sequence[str]) -> tuple[Theorem, ...]:
    """The theorems of these names, all if there are none.

    **Raises:** `ValueError`, with the nearest spelling, for an unknown one.
    """
    known = {theorem.name: theorem for theorem in theorems}
    for name in names:
        validate.one_of("theorem", name, known)
    return tuple(known[name] for name in names) if names else tuple(theorems)


def run_theorems(
    theorems: Sequence[Theorem], *, cases: int, key: PRNGKeyArray, quiet: bool = True
) -> list[TheoremResult]:
    """Check each theorem in `cases` random cases, drawn from `key` and its name alone.

    **Raises:** `ValueError` unless there is a case, and for a check that compares nothing.
    """
    validate.count("cases", cases)
    outcomes = []
    with Progress(len(theorems), unit="theorems", quiet=quiet) as progress:
        progress.begin()
        for i, theorem in enumerate(theorems):
            outcomes.append(run_theorem(theorem, cases=cases, key=key))
            progress.update(i + 1, theorem.name)
    return outcomes


def run_theorem(theorem: Theorem, *, cases: int, key: PRNGKeyArray) -> TheoremResult:
    """Check one theorem; see `run_theorems`."""
    # By name, so that a theorem meets the same cases whichever others are run.
    own = jr.fold_in(key, zlib.crc32(theorem.name.encode()) % 2**31)
    worst: dict[str, Sides] = {}
    failures = 0
    for case in range(cases):
        found = list(_checked(theorem, jr.fold_in(own, case), case))
        failures += not all(comparison.holds for comparison in found)
        for comparison in found:
            least = worst.setdefault(comparison.what, comparison)
            if comparison.slack < least.slack:
                worst[comparison.what] = comparison
    return TheoremResult(
        theorem=theorem, cases=cases, failures=failures, worst=tuple(worst.values())
    )


def _checked(theorem: Theorem, key: PRNGKeyArray, case: int) -> Sequence[Sides]:
    try:
        found = theorem.check(key)
    except Exception as error:
        error.add_note(f"in the theorem {theorem.name!r}, case {case}")
        raise
    if not found:
        raise ValueError(f"the theorem {theorem.name!r} compares nothing.")
    return found


def report(outcomes: Sequence[TheoremResult]) -> str:
    """Each theorem with its source, and the numbers on both sides where it held least."""
    lines = []
    for outcome in outcomes:
        theorem, failed = outcome.theorem, f"in {outcome.failures} of {outcome.cases} cases"
        lines.append(f"{'ok' if outcome.holds else 'FAILED':<7} {theorem.name}")
        lines.append(f"        {theorem.statement}")
        lines.append(f"        {theorem.source}")
        lines += [f"        {_sides(comparison)}" for comparison in outcome.worst]
        lines += [] if outcome.holds else [f"        failed {failed}"]
    held = sum(outcome.holds for outcome in outcomes)
    return "\n".join([*lines, f"{held} of {len(outcomes)} theorems hold."])


def _sides(comparison: Sides) -> str:
    mark = "" if comparison.holds else "   FAILED"
    relation = comparison.relation.value
    return f"{comparison.what}: {comparison.left:.10g} {relation} {comparison.right:.10g}{mark}"


def outcomes_json(outcomes: Sequence[TheoremResult]) -> dict[str, Any]:
    """The same as what JSON can hold."""
    return {
        "holds": all(outcome.holds for outcome in outcomes),
        "theorems": [_outcome_json(outcome) for outcome in outcomes],
    }


def _outcome_json(outcome: TheoremResult) -> dict[str, Any]:
    theorem = outcome.theorem
    return {
        "name": theorem.name,
        "statement": theorem.statement,
        "source": theorem.source,
        "holds": outcome.holds,
        "cases": outcome.cases,
        "failures": outcome.failures,
        "comparisons": [
            {
                "what": c.what,
                "left": _finite(c.left),
                "relation": c.relation.value,
                "right": _finite(c.right),
                "slack": _finite(c.slack),
                "holds": c.holds,
            }
            for c in outcome.worst
        ],
    }


def _finite(number: float) -> float | str:
    """JSON has neither NaN nor infinity."""
    return number if abs(number) < float("inf") else str(number)
