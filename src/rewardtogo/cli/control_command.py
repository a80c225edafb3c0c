"""`rtg control METHOD NAME`: learn action values from samples, beside the exact ones."""

import dataclasses
import enum
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from .. import validate
from ..nn.exploration import Exploration
from .exploration import exploration_of
from .flags import given, parse
from .waiting import waiting


if TYPE_CHECKING:
    pass


class Model(enum.Enum):
    """What is learned of the process."""

    LAST_OUTCOME = "last-outcome"
    FREQUENCIES = "frequencies"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    method: tyro.conf.Positional[str | None] = None
    """q-learning, double-q-learning, sarsa, expected-sarsa, dyna-q, dyna-q+ or
    certainty-equivalence."""
    problem: tyro.conf.Positional[str | None] = None
    """An MDP by name, or the path of a file that holds one (.npz, .json). With --features an
    environment written in JAX: `rtg control --features tiles --help` tells its options."""
    steps: int = 5_000_000
    """Steps of each seed; rounded up to a multiple of 100."""
    seeds: int = 10
    """Independent runs, all at once."""
    seed: int = 0
    """Of everything that is random."""
    discount: float | None = None
    """γ; the problem's own by default."""
    exploration: Exploration = Exploration.EPSILON_GREEDY
    """How actions are chosen."""
    epsilon: float | None = None
    """ε of epsilon-greedy, the share of steps on which any action is taken; 0.3 without one."""
    temperature: float | None = None
    """τ of boltzmann, in units of return; 1 without one."""
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


def run(argv: Sequence[str]) -> int:
    """Learn, print, draw."""
    if any(word.partition("=")[0] == "--features" for word in argv):
        from . import linear_control

        return linear_control.run(argv)
    options = parse(
        Control,
        argv,
        prog="rtg control",
        description="Learn to act in a small MDP from samples, beside its exact optimum.",
    )
    if options.method is None or options.problem is None:
        raise ValueError("name a method and a problem, as in: q-learning tabular:FrozenLake-v1.")
    validate.count("seeds", options.seeds)
    if options.picture is not None:
        from ..figures import require_writable

        require_writable(options.picture)
    from ..devices import prepare

    prepare("cpu", options.seeds)
    return _learn(options, options.method, options.problem)


def _learn(options: Control, method: str, name: str) -> int:
    from ..envs.registry import jax_environments
    from ..tabular.problems.catalogue import problem
    from ..td.control.methods import METHODS
    from ..td.control.report import as_json, as_text, draw
    from ..td.control.run import control

    validate.one_of("method", method, METHODS)
    if name in jax_environments():
        raise ValueError(f"{name} is no finite MDP: give `--features`, as in --features tiles.")
    own = _own(options, method)
    learner = METHODS[method](
        exploration=exploration_of(
            options.exploration, epsilon=options.epsilon, temperature=options.temperature
        ),
        **own,
    )
    named = problem(name, discount=options.discount)
    with waiting("learning", quiet=options.json):
        result = control(
            named,
            learner,
            steps=options.steps,
            seeds=options.seeds,
            seed=options.seed,
            initial_value=options.initial_value,
        )
    title = f"{method} on {named.name}, discount {named.mdp.discount:g}"
    if options.json:
        print(json.dumps(as_json(result)))
    else:
        converges = own["step_size"].converges if "step_size" in own else None
        print(as_text(result, title=title, converges=converges))
    if options.picture is not None:
        draw(result, options.picture, title=title)
        if not options.json:
            print(options.picture)
    return 0


def _own(options: Control, method: str) -> dict[str, Any]:
    """What this method takes besides exploration; what only others take is refused."""
    from ..td.control.methods import METHODS
    from ..td.steps.models import Frequencies, LastOutcome

    models = {Model.LAST_OUTCOME: LastOutcome, Model.FREQUENCIES: Frequencies}
    given = {
        "planning_steps": options.planning_steps,
        "model": options.model and models[options.model](),
        "bonus": options.bonus,
        "plan_every": options.plan_every,
        "min_visits": options.min_visits,
    }
    takes = {name: inspect.signature(kind).parameters for name, kind in METHODS.items()}
    for option in ("step_size", "exponent", *given):
        value = getattr(options, option)
        field = "step_size" if option == "exponent" else option
        if value is not None and field not in takes[method]:
            users = ", ".join(name for name in METHODS if field in takes[name])
            shown = value.value if isinstance(value, Model) else value
            raise ValueError(f"`{option}` is for {users}, not for {method}; got {shown}.")
    own = {name: value for name, value in given.items() if value is not None}
    return own | ({"step_size": _step_size(options)} if "step_size" in takes[method] else {})


def _step_size(options: Control):
    from ..td.steps.step_sizes import ConstantStepSize, PolynomialStepSize

    if options.step_size is None:
        return PolynomialStepSize(**given(exponent=options.exponent))
    if options.exponent is not None:
        raise ValueError("`step_size` and `exponent` cannot be given together.")
    validate.in_interval("step_size", options.step_size, 0.0, 1.0, open_low=True)
    return ConstantStepSize(options.step_size)
