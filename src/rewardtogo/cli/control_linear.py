"""`rtg control ... --features ...`: action values that are linear in features; other flags."""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from .. import validate
from ..envs.registry import jax_environments, make
from ..tabular.problems.catalogue import problem_names
from ..td.control.linear_report import as_json, as_text, draw
from ..td.control.linear_run import linear_control, observed_range
from ..td.control.methods import METHODS
from .exploration import ExplorationFlags
from .features import READ_BY, Features, laid_over
from .flags import require_read
from .frame import AbstractCommand, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlLinear(ExplorationFlags, AbstractCommand):
    """Learn to act with action values that are linear in features."""

    method: tyro.conf.Positional[str | None] = None
    """sarsa, expected-sarsa or q-learning."""
    environment: tyro.conf.Positional[str | None] = None
    """One written in JAX, with discrete actions."""
    features: Literal["tiles", "fourier", "polynomial"] = "tiles"
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
    json: bool = False
    """Print JSON only, with every episode of every seed."""
    picture: Path | None = None
    """Draw the episodes' lengths, and the cost to go over two dimensions, into this file."""

    def check(self) -> int:
        if self.method is None or self.environment is None:
            raise ValueError("name a method and an environment, as in: sarsa MountainCar-v0.")
        validate.count("seeds", self.seeds)
        require_read(self, "features", [self.features], read_by=READ_BY)
        return len(self.step_sizes) * self.seeds

    def start(self) -> Work:
        validate.one_of("method", str(self.method), METHODS)
        method, name = METHODS[str(self.method)](exploration=self.explores()), str(self.environment)
        if name in problem_names() and name not in jax_environments():
            raise ValueError(
                f"{name} is a finite MDP, of which `rtg control {self.method} {name}` learns a "
                f"table, without `--features`; with features it is tabular:{name}."
            )
        environment = make(name)
        kind = Features(self.features)
        count, default = (self.tilings, 8) if kind is Features.TILES else (self.order, 3)
        features = laid_over(
            *observed_range(environment),
            kind,
            count=default if count is None else count,
            tiles=8 if self.tiles is None else self.tiles,
        )
        title = f"{self.method} on {name}, {self.features}, discount {self.discount:g}"
        return Work(
            run=lambda: linear_control(
                environment,
                method,
                features,
                step_sizes=self.step_sizes,
                discount=self.discount,
                episodes=self.episodes,
                seeds=self.seeds,
                seed=self.seed,
                max_steps=self.max_steps,
            ),
            as_json=lambda found, _: as_json(found, title=title),
            as_text=lambda found, seconds: as_text(found, title=title, seconds=seconds),
            draw=lambda found, path: draw(found, path, title=title),
        )
