"""`rtg predict` for the methods that learn from another policy's steps; their flags are others."""

import dataclasses
from pathlib import Path

import equinox as eqx
import tyro

from .. import validate
from ..tabular.problems.catalogue import problem
from ..tabular.problems.problem import Problem
from ..td.off_policy.counterexamples import off_policy_case
from ..td.off_policy.exact import growth_rate
from ..td.off_policy.methods import METHODS, AbstractOffPolicyMethod
from ..td.off_policy.report import as_json, as_text, draw
from ..td.off_policy.run import Updates, off_policy_prediction
from .flags import given, require_read
from .frame import AbstractCommand, Work


_READ_BY = {"auxiliary_step_size": ("gtd2", "tdc")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOffPolicy(AbstractCommand):
    """Learn the values of one policy from the steps of another."""

    method: tyro.conf.Positional[str | None] = None
    """off-policy-td, emphatic-td, gtd2 or tdc."""
    problem: tyro.conf.Positional[str | None] = None
    """Baird, another MDP by name, or the path of a file that holds one (.npz, .json)."""
    step_sizes: tuple[float, ...] = (0.005,)
    """α of the weights, each one of them."""
    auxiliary_step_size: float | None = None
    """β of the second weights of gtd2 and tdc; 0.05 without one."""
    steps: int = 1000
    """Of each run; rounded up to a multiple of 100."""
    seeds: int = 20
    """Independent runs."""
    seed: int = 0
    """Of everything that is random."""
    discount: float | None = None
    """γ; the problem's own by default."""
    picture: Path | None = None
    """Draw weights and errors of the first step size into this file."""
    json: bool = False
    """Print JSON only, with every seed's errors."""

    def check(self) -> int:
        if self.problem is None:
            raise ValueError("which problem? Baird, another name, or a file.")
        validate.one_of("method", str(self.method), METHODS)
        require_read(self, "method", [str(self.method)], read_by=_READ_BY)
        validate.count("seeds", self.seeds)
        return len(self.step_sizes) * self.seeds

    def start(self) -> Work:
        method = METHODS[str(self.method)](**given(auxiliary_step_size=self.auxiliary_step_size))
        named = problem(str(self.problem), discount=self.discount)
        title = f"{self.method} on {named.name}, discount {named.mdp.discount:g}"
        return Work(
            run=lambda: _learn(self, method, named),
            as_json=lambda found, _: as_json(*found, title=title),
            as_text=lambda found, seconds: as_text(*found, title=title, seconds=seconds),
            draw=lambda found, path: draw(found[0], path, title=title),
        )


def _learn(options: PredictOffPolicy, method: AbstractOffPolicyMethod, named: Problem):
    """What was found with sampled and with expected updates, and the rates of their growth."""
    case = off_policy_case(named)
    found = {
        updates: off_policy_prediction(
            method,
            case,
            step_sizes=options.step_sizes,
            updates=updates,
            steps=options.steps,
            seeds=options.seeds,
            seed=options.seed,
        )
        for updates in Updates
    }
    sized = lambda size: eqx.tree_at(lambda method: method.step_size, method, size)
    return found, {size: growth_rate(sized(size), case) for size in options.step_sizes}
