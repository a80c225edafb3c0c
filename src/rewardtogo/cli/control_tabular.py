"""`rtg control METHOD NAME`: a table of action values from samples, beside the exact ones."""

import dataclasses
import enum
import inspect
from pathlib import Path
from typing import Any

import tyro

from .. import validate
from ..envs.registry import jax_environments
from ..tabular.problems.catalogue import problem
from ..td.control.methods import METHODS
from ..td.control.report import as_json, as_text, draw
from ..td.control.run import control
from ..td.steps.models import Frequencies, LastOutcome
from ..td.steps.step_sizes import ConstantStepSize, PolynomialStepSize
from .exploration import ExplorationFlags
from .flags import given
from .frame import AbstractCommand, Work


class Model(enum.Enum):
    """What is learned of the process."""

    LAST_OUTCOME = "last-outcome"
    FREQUENCIES = "frequencies"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlTabular(ExplorationFlags, AbstractCommand):
    """Learn to act in a small MDP from samples, beside its exact optimum."""

    method: tyro.conf.Positional[str | None] = None
    """q-learning, double-q-learning, sarsa, expected-sarsa, dyna-q, dyna-q+ or
    certainty-equivalence."""
    problem: tyro.conf.Positional[str | None] = None
    """An MDP by name, or the path of a file that holds one (.npz, .json)."""
    steps: int = 5_000_000
    """Steps of each seed; rounded up to a multiple of 100."""
    seeds: int = 10
    """Independent runs, all at once."""
    seed: int = 0
    """Of everything that is random."""
    discount: float | None = None
    """γ; the problem's own by default."""
    step_size: float | None = None
    """A constant α, in (0, 1]; without one the step size falls as n^-κ."""
    exponent: float | None = None
    """κ, in (1/2, 1]; 0.7 without one."""
    planning_steps: int | None = None
    """n of dyna-q and dyna-q+, imagined steps after each real one; 10 without one."""
    model: Model | None = None
    """What dyna-q and dyna-q+ plan with: what a pair gave last, or frequencies; the last outcome
    without one."""
    bonus: float | None = None
    """κ of dyna-q+, in units of reward: what was not tried for τ steps promises κ√τ in addition;
    0.001 without one."""
    plan_every: int | None = None
    """Steps from one plan of certainty-equivalence to the next; 100 without one."""
    min_visits: int | None = None
    """m of certainty-equivalence, below which a pair keeps its initial value; 1 without one."""
    initial_value: float = 0.0
    """Q of every pair at the start; a large one is optimistic and explores."""
    json: bool = False
    """Print JSON only, with every seed's numbers and action values."""
    picture: Path | None = None
    """Draw error, value of the greedy policy and regret into this file."""

    def check(self) -> int:
        if self.method is None or self.problem is None:
            raise ValueError(
                "name a method and a problem, as in: q-learning tabular:FrozenLake-v1."
            )
        validate.count("seeds", self.seeds)
        return self.seeds

    def start(self) -> Work:
        method, name = str(self.method), str(self.problem)
        validate.one_of("method", method, METHODS)
        if name in jax_environments():
            raise ValueError(f"{name} is no finite MDP: give `--features`, as in --features tiles.")
        own = _own(self, method)
        learner = METHODS[method](exploration=self.explores(), **own)
        named = problem(name, discount=self.discount)
        title = f"{method} on {named.name}, discount {named.mdp.discount:g}"
        converges = own["step_size"].converges if "step_size" in own else None
        return Work(
            run=lambda: control(
                named,
                learner,
                steps=self.steps,
                seeds=self.seeds,
                seed=self.seed,
                initial_value=self.initial_value,
            ),
            as_json=lambda found, _: as_json(found),
            as_text=lambda found, _: as_text(found, title=title, converges=converges),
            draw=lambda found, path: draw(found, path, title=title),
        )


# Flags that only some methods take, besides those of the step size.
_OWN = ("planning_steps", "model", "bonus", "plan_every", "min_visits")


def _own(options: ControlTabular, method: str) -> dict[str, Any]:
    """What this method takes besides exploration; what only others take is refused."""
    takes = {name: inspect.signature(kind).parameters for name, kind in METHODS.items()}
    for option in ("step_size", "exponent", *_OWN):
        value = getattr(options, option)
        field = "step_size" if option == "exponent" else option
        if value is not None and field not in takes[method]:
            users = ", ".join(name for name in METHODS if field in takes[name])
            shown = value.value if isinstance(value, Model) else value
            raise ValueError(f"`{option}` is for {users}, not for {method}; got {shown}.")
    own = {name: getattr(options, name) for name in _OWN}
    if options.model is not None:
        own["model"] = Frequencies() if options.model is Model.FREQUENCIES else LastOutcome()
    if "step_size" in takes[method]:
        own["step_size"] = _step_size(options)
    return given(**own)


def _step_size(options: ControlTabular) -> ConstantStepSize | PolynomialStepSize:
    if options.step_size is None:
        return PolynomialStepSize(**given(exponent=options.exponent))
    if options.exponent is not None:
        raise ValueError("`step_size` and `exponent` cannot be given together.")
    validate.in_interval("step_size", options.step_size, 0.0, 1.0, open_low=True)
    return ConstantStepSize(options.step_size)
