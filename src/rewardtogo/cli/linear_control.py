"""`rtg control ... --features ...`: action values that are linear in features; other flags."""

import dataclasses
import enum
import json
import time
from collections.abc import Sequence
from pathlib import Path

import tyro

from .. import validate
from ..nn.exploration import Exploration
from .exploration import exploration_of
from .flags import parse, require_options
from .waiting import waiting


class Features(enum.Enum):
    """What action values are linear in."""

    TILES = "tiles"
    FOURIER = "fourier"
    POLYNOMIAL = "polynomial"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearControlOptions:
    method: tyro.conf.Positional[str | None] = None
    """sarsa, expected-sarsa or q-learning."""
    environment: tyro.conf.Positional[str | None] = None
    """One written in JAX, with discrete actions."""
    features: Features = Features.TILES
    """What action values are linear in."""
    tiles: int | None = None
    """Tiles across each dimension; 8 by default."""
    tilings: int | None = None
    """Grids of tiles laid over each other; 8 by default."""
    order: int | None = None
    """The highest frequency of fourier, power of polynomial; 3 by default."""
    step_sizes: tuple[float, ...] = (0.5,)
    """α, each one of them; of tiles the share of the error by which a value moves."""
    episodes: int = 500
    """Of each run."""
    seeds: int = 20
    """Independent runs of each step size, all at once."""
    seed: int = 0
    """Of everything that is random."""
    discount: float = 1.0
    """γ."""
    max_steps: int | None = None
    """An episode is truncated after so many; the environment's own limit by default."""
    exploration: Exploration = Exploration.EPSILON_GREEDY
    """How actions are chosen."""
    epsilon: float | None = None
    """ε of epsilon-greedy, the share of steps on which any action is taken; 0.3 without one."""
    temperature: float | None = None
    """τ of boltzmann, in units of return; 1 without one."""
    json: bool = False
    """Print JSON only, with every episode of every seed."""
    picture: Path | None = None
    """Draw the episodes' lengths, and the cost to go over two dimensions, into this file."""


def run(argv: Sequence[str]) -> int:
    """Learn, print, draw."""
    require_options(argv, LinearControlOptions, command="rtg control --features tiles")
    options = parse(
        LinearControlOptions,
        argv,
        prog="rtg control",
        description="Learn to act with action values that are linear in features.",
    )
    if options.method is None or options.environment is None:
        raise ValueError("name a method and an environment, as in: sarsa MountainCar-v0.")
    validate.count("seeds", options.seeds)
    if options.picture is not None:
        from ..figures import require_writable

        require_writable(options.picture)
    from ..devices import prepare

    prepare("cpu", len(options.step_sizes) * options.seeds)
    return _learn(options)


def _learn(options: LinearControlOptions) -> int:
    from ..envs.registry import jax_environments, make
    from ..tabular.problems.catalogue import problem_names
    from ..td.control.linear_report import as_json, as_text, draw
    from ..td.control.linear_run import linear_control, observed_range
    from ..td.control.methods import METHODS

    validate.one_of("method", str(options.method), METHODS)
    method = METHODS[str(options.method)](
        exploration=exploration_of(
            options.exploration, epsilon=options.epsilon, temperature=options.temperature
        )
    )
    name = str(options.environment)
    if name in problem_names() and name not in jax_environments():
        raise ValueError(
            f"{name} is a finite MDP, of which `rtg control {options.method} {name}` learns a "
            f"table, without `--features`; with features it is tabular:{name}."
        )
    environment = make(name)
    features = _features(options, *observed_range(environment))
    began = time.monotonic()
    with waiting("learning", quiet=options.json):
        result = linear_control(
            environment,
            method,
            features,
            step_sizes=options.step_sizes,
            discount=options.discount,
            episodes=options.episodes,
            seeds=options.seeds,
            seed=options.seed,
            max_steps=options.max_steps,
        )
    title = (
        f"{options.method} on {options.environment}, {options.features.value}, "
        f"discount {options.discount:g}"
    )
    if options.json:
        print(json.dumps(as_json(result, title=title)))
    else:
        print(as_text(result, title=title, seconds=time.monotonic() - began))
    if options.picture is not None:
        draw(result, options.picture, title=title)
        if not options.json:
            print(options.picture)
    return 0


def _features(options: LinearControlOptions, low: tuple[float, ...], high: tuple[float, ...]):
    from ..td.values.features import Fourier, Polynomial, TileCoding

    tiled = options.features is Features.TILES
    for name in ("order",) if tiled else ("tiles", "tilings"):
        if getattr(options, name) is not None:
            raise ValueError(f"`{name}` is not for the features {options.features.value}.")
    given = lambda number, default: default if number is None else number
    match options.features:
        case Features.TILES:
            counts = {"tiles": given(options.tiles, 8), "tilings": given(options.tilings, 8)}
            return TileCoding(low, high, **counts)
        case Features.FOURIER:
            return Fourier(low, high, order=given(options.order, 3))
        case Features.POLYNOMIAL:
            return Polynomial(low, high, degree=given(options.order, 3))
