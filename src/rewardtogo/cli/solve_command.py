"""`rtg solve NAME|FILE`: the optimum of a small MDP, and how far it can be from the truth."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tyro

from .. import validate
from ..tabular.problems.catalogue import problem, problem_names
from ..tabular.problems.problem import Problem
from ..tabular.show.board import text
from ..tabular.show.picture import draw
from ..tabular.solvers.optimal import Answer, answer
from ..tabular.solvers.solve import Method
from . import frame


@dataclasses.dataclass(frozen=True, kw_only=True)
class Solve(frame.AbstractCommand):
    """Solve a small MDP exactly, with a certificate."""

    doing: ClassVar[str] = "solving"

    problem: tyro.conf.Positional[str | None] = None
    """An MDP by name, or the path of a file that holds one (.npz, .json)."""
    method: Method = Method.AUTO
    """How; auto is what is fastest for the problem."""
    discount: float | None = None
    """γ; the problem's own by default."""
    temperature: float | None = None
    """Solve the entropy-regularised problem instead: rewards plus this times the entropy of π."""
    horizon: int | None = None
    """Solve for so many actions instead of without end, by backward induction."""
    tolerance: float | None = None
    """Bound on the error of the values, in reward units; 1e-8 where float64 can certify it."""
    json: bool = False
    """Print JSON only, with every value and action."""
    picture: Path | None = None
    """Draw values and policy into this file."""

    def check(self) -> None:
        if self.problem is None:
            raise ValueError(f"which problem? A file, or one of: {', '.join(problem_names())}.")
        if self.tolerance is not None:
            validate.positive("tolerance", self.tolerance)
        if self.temperature is not None:
            validate.positive("temperature", self.temperature)
        if self.horizon is not None:
            validate.count("horizon", self.horizon)

    def start(self) -> frame.Work:
        named = problem(str(self.problem), discount=self.discount)
        title = f"{named.name}, discount {named.mdp.discount:g}"
        return frame.Work(
            run=lambda: answer(
                named.mdp,
                method=self.method,
                temperature=self.temperature,
                horizon=self.horizon,
                tolerance=self.tolerance,
            ),
            as_json=lambda found, seconds: _as_json(named, found, self, seconds),
            as_text=lambda found, seconds: _as_text(named, found, self, seconds),
            draw=lambda found, path: draw(named, found.values, found.best, path, title=title),
            succeeded=lambda found: found.converged,
        )


def run(argv: Sequence[str]) -> int:
    """Solve, print, draw; exit status 1 if the tolerance was not reached."""
    return frame.run(Solve, argv, prog="rtg solve")


def _as_json(named: Problem, found: Answer, options: Solve, seconds: float) -> dict[str, Any]:
    mdp = named.mdp
    return {
        "problem": named.name,
        "source": named.source,
        "num_states": mdp.num_states,
        "num_actions": mdp.num_actions,
        "discount": mdp.discount,
        "temperature": options.temperature,
        "horizon": options.horizon,
        "method": found.method,
        "iterations": found.iterations,
        "seconds": seconds,
        "converged": found.converged,
        "expected_return": float(np.asarray(mdp.initial) @ found.values),
        "certificate": found.certificate,
        "states": named.states or None,
        "actions": named.actions or None,
        "values": found.values.tolist(),
        "policy": found.policy.tolist(),
        "best_actions": [np.flatnonzero(best).tolist() for best in found.best],
    }


def _as_text(named: Problem, found: Answer, options: Solve, seconds: float) -> str:
    mdp = named.mdp
    aim = f", temperature {options.temperature:g}" if options.temperature is not None else ""
    aim += f", {options.horizon} actions" if options.horizon is not None else ""
    start = float(np.asarray(mdp.initial) @ found.values)
    lines = [
        f"{named.name}: {mdp.num_states:,} states, {mdp.num_actions} actions, "
        f"discount {mdp.discount:g}{aim}. {named.source}",
        f"{found.method}: {found.iterations:,} iterations, {seconds:.2f} s, compiling included",
        "",
        text(named, found.values, found.best),
        "",
        f"optimal value from the start, mean over initial states: {start:.6f}",
        found.certified,
    ]
    if named.observation is not None:
        lines.append("For a policy that sees the state; a learner does not see it here.")
    if not found.converged:
        lines.append("The tolerance was not reached.")
    return "\n".join(lines)
