"""What `rtg predict` can be asked, and the learners that are asked for."""

import dataclasses
import enum
from pathlib import Path
from typing import NamedTuple

import tyro

from .. import validate
from ..tabular.problems.problem import Problem
from ..td.prediction.averaging import Averaging
from ..td.prediction.monte_carlo import MonteCarlo, Visits
from ..td.prediction.n_step import NStepTD
from ..td.prediction.one_step import TD0, AbstractPredictor
from ..td.prediction.traces import TDLambda, Trace
from ..td.values.features import (
    AbstractFeatures,
    Fourier,
    Polynomial,
    TileCoding,
    state_aggregation,
)
from ..td.values.observations import state_observations, state_range
from ..td.values.state_values import AbstractValues, linear_values, network_values
from .off_policy_prediction import NAMES


METHODS = {
    "mc-first": "Monte Carlo, each state's first visit in an episode",
    "mc-every": "Monte Carlo, every visit",
    "td0": "temporal differences of one step",
    "td-lambda": "temporal differences with eligibility traces",
    "n-step": "temporal differences of n steps",
    "gradient-mc": "Monte Carlo with features or a network, every visit",
    "semi-gradient-td": "temporal differences of one step with features or a network",
    "semi-gradient-n-step": "temporal differences of n steps with features or a network",
}
# Of these, values are functions of features.
APPROXIMATE = ("gradient-mc", "semi-gradient-td", "semi-gradient-n-step")


class Features(enum.Enum):
    """What values are functions of."""

    AGGREGATION = "aggregation"
    TILES = "tiles"
    FOURIER = "fourier"
    POLYNOMIAL = "polynomial"
    NETWORK = "network"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict:
    method: tyro.conf.Positional[str | None] = None
    """mc-first, mc-every, td0, td-lambda, n-step; gradient-mc, semi-gradient-td or
    semi-gradient-n-step, which take features; off-policy-td, emphatic-td, gtd2 or tdc, whose
    options `rtg predict tdc --help` tells."""
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


class ValuesAndMethod(NamedTuple):
    """A method, and what it learns; None for a table."""

    method: AbstractPredictor
    values: AbstractValues | None


def check(options: Predict) -> None:
    """**Raises:** `ValueError` for what is missing, or belongs to another method or features."""
    if options.method is None:
        raise ValueError(f"which method? One of: {', '.join((*METHODS, *NAMES))}.")
    validate.one_of("method", options.method, (*METHODS, *NAMES))
    if options.method != "td-lambda" and (options.trace_decay or options.trace is not None):
        raise ValueError("`trace_decay` and `trace` are for the method td-lambda.")
    if not options.method.endswith("n-step") and options.n:
        raise ValueError("`n` is for the method n-step and semi-gradient-n-step.")
    if options.features and options.method not in APPROXIMATE:
        raise ValueError(
            f"`features` are for {', '.join(APPROXIMATE)}: {options.method} learns a table."
        )
    if options.method in APPROXIMATE and not options.features:
        raise ValueError(
            f"{options.method} needs `features`: {', '.join(kind.value for kind in Features)}."
        )
    _check_features(options)
    validate.count("seeds", options.seeds)  # the machine is prepared for as many


def learners(options: Predict, named: Problem) -> dict[str, ValuesAndMethod]:
    """What was asked for, by what it is called in tables and pictures."""
    methods = _methods(options)
    if options.method not in APPROXIMATE:
        return {name: ValuesAndMethod(method, None) for name, method in methods.items()}
    values = _values(options, named)
    return {
        f"{name}, {features}" if len(methods) > 1 else features: ValuesAndMethod(method, learned)
        for name, method in methods.items()
        for features, learned in values.items()
    }


def _check_features(options: Predict) -> None:
    kinds = Features.AGGREGATION, Features.TILES, Features.FOURIER, Features.POLYNOMIAL
    aggregation, tiles, fourier, polynomial = kinds
    belongs = (
        ("groups", bool(options.groups), (aggregation,)),
        ("tiles", options.tiles is not None, (tiles,)),
        ("tilings", bool(options.tilings), (tiles,)),
        ("order", bool(options.order), (fourier, polynomial)),
        ("hidden_sizes", bool(options.hidden_sizes), (Features.NETWORK,)),
        ("no_scale_steps", not options.scale_steps, (tiles, fourier)),
    )
    for name, given, theirs in belongs:
        if given and not set(theirs) & set(options.features):
            needed = " or ".join(kind.value for kind in theirs)
            raise ValueError(f"`{name}` is for the features {needed}.")


def _methods(options: Predict) -> dict[str, AbstractPredictor]:
    decay = options.step_decay
    match options.method:
        case "mc-first" | "mc-every":
            visits = Visits(options.method.removeprefix("mc-"))
            return {options.method: MonteCarlo(visits=visits, step_decay=decay)}
        case "gradient-mc":
            return {options.method: MonteCarlo(visits=Visits.EVERY, step_decay=decay)}
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


def _values(options: Predict, named: Problem) -> dict[str, AbstractValues]:
    seen = state_observations(named)
    found: dict[str, AbstractValues] = {}
    for kind in options.features:
        if kind is Features.NETWORK:
            sizes = options.hidden_sizes or (32, 32)
            name = "network " + "-".join(map(str, sizes))
            found[name] = network_values(seen, hidden_sizes=sizes)
            continue
        for name, features in _features(kind, options, *state_range(named, seen)).items():
            found[name] = linear_values(features, seen, scale_steps=options.scale_steps)
    return found


def _features(
    kind: Features, options: Predict, low: tuple[float, ...], high: tuple[float, ...]
) -> dict[str, AbstractFeatures]:
    orders, tiles = options.order or (5,), 5 if options.tiles is None else options.tiles
    match kind:
        case Features.AGGREGATION:
            counts = options.groups or (10,)
            return {f"{n} groups": state_aggregation(low, high, groups=n) for n in counts}
        case Features.TILES:
            return {
                f"{n} tiling{'s' * (n > 1)}": TileCoding(low, high, tiles=tiles, tilings=n)
                for n in options.tilings or (8,)
            }
        case Features.FOURIER:
            return {f"fourier, order {n}": Fourier(low, high, order=n) for n in orders}
        case _:
            return {f"polynomial, order {n}": Polynomial(low, high, degree=n) for n in orders}
