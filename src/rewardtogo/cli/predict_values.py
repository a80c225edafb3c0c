"""`rtg predict` for the methods that learn the values of the policy that acts."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from .. import validate
from ..tabular.problems.catalogue import problem, problem_names
from ..tabular.problems.files import POLICY_SUFFIXES, read_policy
from ..tabular.problems.problem import Problem
from ..tabular.solvers.optimal import answer
from ..td.off_policy.methods import METHODS as OFF_POLICY
from ..td.prediction.averaging import Averaging
from ..td.prediction.figure import draw
from ..td.prediction.monte_carlo import MonteCarlo, Visits
from ..td.prediction.n_step import NStepTD
from ..td.prediction.one_step import TD0, AbstractPredictor
from ..td.prediction.run import Prediction, predict
from ..td.prediction.traces import TDLambda, Trace
from ..td.steps.step_sizes import settles
from ..td.values.observations import state_observations, state_range
from ..td.values.state_values import AbstractValues, linear_values, network_values
from .features import READ_BY, Features, laid_over
from .flags import require_read
from .frame import AbstractCommand, Work


type Found = dict[str, Prediction]


# Of these, values are functions of features.
APPROXIMATE = ("gradient-mc", "semi-gradient-td", "semi-gradient-n-step")
METHODS = ("mc-first", "mc-every", "td0", "td-lambda", "n-step", *APPROXIMATE)
# Flags that only some methods read.
_READ_BY = {
    "trace_decay": ("td-lambda",),
    "trace": ("td-lambda",),
    "n": ("n-step", "semi-gradient-n-step"),
}
# By name, the method and what it learns; None for a table.
type Learners = dict[str, tuple[AbstractPredictor, AbstractValues | None]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictValues(AbstractCommand):
    """Learn the values of a policy from samples, against the exact values."""

    method: tyro.conf.Positional[str | None] = None
    """mc-first, mc-every, td0, td-lambda, n-step; gradient-mc, semi-gradient-td or
    semi-gradient-n-step, which take features."""
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
    features: tuple[Features, ...] = ()
    """What values are linear in, each one of them; or a network."""
    groups: tuple[int, ...] = ()
    """Groups of aggregation along each dimension, each one of them; 10 by default."""
    tiles: int | None = None
    """Tiles across each dimension; 5 by default."""
    tilings: tuple[int, ...] = ()
    """Grids of tiles laid over each other, each one of them; 8 by default."""
    order: tuple[int, ...] = ()
    """The highest frequency of fourier, power of polynomial; each one of them; 5 by default."""
    hidden_sizes: tuple[int, ...] = ()
    """Units of each hidden layer of the network; 32 32 by default."""
    scale_steps: bool = True
    """Divide α by the number of tilings, and for fourier by the norm of the frequency."""
    averaging: Averaging = Averaging.STATES
    """Errors over states, or over steps, so that a state counts by how often it is met."""
    policy: str = "uniform"
    """Whose values: uniform, optimal, or a file with π(a|s), a row a state (.csv, .npy, .npz)."""
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

    def check(self) -> int:
        _check_method(self)
        require_read(self, "features", [f.value for f in self.features], read_by=READ_BY)
        validate.count("seeds", self.seeds)
        if self.problem is None:
            raise ValueError(f"which problem? A file, or one of: {', '.join(problem_names())}.")
        return len(self.step_sizes) * self.seeds

    def start(self) -> Work:
        named = problem(str(self.problem), discount=self.discount)
        learners = _learners(self, named)
        title = f"{named.name}, {self.method}: {self.seeds} seeds, bands 95 %"
        return Work(
            run=lambda: _predictions(named, learners, self),
            as_json=lambda found, _: _as_json(named, found, self),
            as_text=lambda found, seconds: _as_text(named, found, self, seconds),
            draw=lambda found, path: draw(found, path, title=title, by_state=bool(self.features)),
        )


def _check_method(options: PredictValues) -> None:
    """**Raises:** `ValueError` for what is missing, or belongs to another method."""
    names = (*METHODS, *OFF_POLICY)
    if options.method is None:
        raise ValueError(f"which method? One of: {', '.join(names)}.")
    validate.one_of("method", options.method, names)
    require_read(options, "method", [options.method], read_by=_READ_BY)
    if options.features and options.method not in APPROXIMATE:
        raise ValueError(
            f"`features` are for {', '.join(APPROXIMATE)}: {options.method} learns a table."
        )
    if options.method in APPROXIMATE and not options.features:
        raise ValueError(
            f"{options.method} needs `features`: {', '.join(kind.value for kind in Features)}."
        )


def _learners(options: PredictValues, named: Problem) -> Learners:
    """What was asked for, by what it is called in tables and pictures."""
    methods = _methods(options)
    if not options.features:
        return {name: (method, None) for name, method in methods.items()}
    values = _values(options, named)
    return {
        f"{name}, {features}" if len(methods) > 1 else features: (method, learned)
        for name, method in methods.items()
        for features, learned in values.items()
    }


def _methods(options: PredictValues) -> dict[str, AbstractPredictor]:
    decay = options.step_decay
    match options.method:
        case "mc-first" | "mc-every" | "gradient-mc":
            visits = Visits.FIRST if options.method == "mc-first" else Visits.EVERY
            return {options.method: MonteCarlo(visits=visits, step_decay=decay)}
        case "td-lambda":
            trace, lambdas = options.trace or Trace.DUTCH, options.trace_decay or (0.9,)
            return {
                f"{trace.value}, λ = {x:g}": TDLambda(trace=trace, trace_decay=x, step_decay=decay)
                for x in lambdas
            }
        case "n-step" | "semi-gradient-n-step":
            return {f"n = {n}": NStepTD(n=n, step_decay=decay) for n in options.n or (4,)}
        case _:
            return {str(options.method): TD0(step_decay=decay)}


def _values(options: PredictValues, named: Problem) -> dict[str, AbstractValues]:
    seen = state_observations(named)
    tiles = 5 if options.tiles is None else options.tiles
    counts = {
        Features.AGGREGATION: options.groups or (10,),
        Features.TILES: options.tilings or (8,),
    }
    found: dict[str, AbstractValues] = {}
    for kind in options.features:
        if kind is Features.NETWORK:
            sizes = options.hidden_sizes or (32, 32)
            name = "network " + "-".join(map(str, sizes))
            found[name] = network_values(seen, hidden_sizes=sizes)
            continue
        for n in counts.get(kind, options.order or (5,)):
            features = laid_over(*state_range(named, seen), kind, count=n, tiles=tiles)
            learned = linear_values(features, seen, scale_steps=options.scale_steps)
            found[_name(kind, n)] = learned
    return found


def _name(kind: Features, count: int) -> str:
    names = {
        Features.AGGREGATION: f"{count} groups",
        Features.TILES: f"{count} tiling{'s' * (count > 1)}",
    }
    return names.get(kind, f"{kind.value}, order {count}")


def _predictions(named: Problem, learners: Learners, options: PredictValues) -> Found:
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
            values=values,
            averaging=options.averaging,
        )
        for name, (method, values) in learners.items()
    }


def _policy(named: Problem, policy: str) -> np.ndarray:
    states, actions = named.mdp.num_states, named.mdp.num_actions
    if Path(policy).suffix:
        return read_policy(policy, num_states=states, num_actions=actions)
    files = [f"FILE{suffix}" for suffix in POLICY_SUFFIXES]
    validate.one_of("policy", policy, ["uniform", "optimal", *files])
    if policy == "uniform":
        return np.full((states, actions), 1 / actions)
    return np.eye(actions)[answer(named.mdp).policy]


def _as_text(named: Problem, found: Found, options: PredictValues, seconds: float) -> str:
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


def _whose(options: PredictValues) -> str:
    named = options.policy in ("uniform", "optimal")
    return f"{options.policy} policy" if named else f"policy of {options.policy}"


def _promise(decay: float) -> str:
    """Whether α n^(−ω) is such that values converge with probability 1."""
    if settles(decay):
        return "meet the conditions of Robbins and Monro"
    why = "they are constant" if decay == 0 else "the sum of their squares is infinite"
    return f"do not meet the conditions of Robbins and Monro, so that V does not settle: {why}"


def _as_json(named: Problem, found: Found, options: PredictValues) -> dict[str, Any]:
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
