"""Everything a run was asked to do, to and from JSON."""

import dataclasses
import enum
import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from .. import validate
from ..envs.factory import called
from ..envs.history import History
from ..recipes import RECIPES, AbstractRecipe
from ..sources.task import (
    AbstractTask,
    Backend,
    Environment,
    GivenEnvironment,
    importable_name,
    make_task,
)


T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run is repeated, watched and kept, whatever the algorithm."""

    seeds: int | None = None
    """Runs trained together; default 8 on environments written in JAX, 1 on host ones."""
    seed: int = 0
    """The first run's seed; the others' count up from it."""
    backend: Backend = "auto"
    """Where the environment lives; auto takes the JAX version where there is one."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, as `name=value`."""
    stack: int = 1
    """Observations that a policy sees together, this step's and those before; 1 is this one's."""
    past_action: bool = False
    """Let an observation be followed by the action that led to it."""
    env_timeout: float = 60.0
    """Seconds after which a host environment's step counts as hung; 0 waits for ever."""
    env_workers: int = 0
    """Processes for host environments; 0 steps them in this one."""
    report_every: int | None = None
    """Steps of a seed between rows of `metrics.jsonl`; default a hundredth of the run."""
    eval_every: int = 0
    """Steps of a seed between evaluations during training, the best kept; 0 is none."""
    eval_episodes: int = 100
    """Episodes of an evaluation, for each seed."""
    stop_at_return: float | None = None
    """End training once an evaluation's mean return reaches this; needs `eval_every`."""

    def __post_init__(self):
        if self.seeds is not None:
            validate.count("seeds", self.seeds)
        validate.count("seed", self.seed, least=0)
        validate.non_negative("env_timeout", self.env_timeout)
        validate.count("env_workers", self.env_workers, least=0)
        if self.report_every is not None:
            validate.count("report_every", self.report_every)
        validate.count("eval_every", self.eval_every, least=0)
        validate.count("eval_episodes", self.eval_episodes)
        if self.stop_at_return is not None:
            validate.in_interval("stop_at_return", self.stop_at_return, -math.inf, math.inf)
            if not self.eval_every:
                raise ValueError("`stop_at_return` looks at evaluations: set `eval_every` too.")
        env_args(self.env_arg)
        _ = self.history

    @property
    def arguments(self) -> dict[str, Any]:
        """What the environment's class is given."""
        return env_args(self.env_arg)

    @property
    def history(self) -> History:
        """What of the past an observation holds."""
        return History(stack=self.stack, past_action=self.past_action)


# Steps and seeds are 32-bit numbers inside compiled programs.
MOST_STEPS, MOST_SEEDS = 2**31 - 2**24, 2**31


@dataclasses.dataclass(frozen=True, repr=False)
class Settings:
    """A whole run: what trains, where, and how."""

    recipe: AbstractRecipe
    environment: Environment | None  # None where a run needs none: it learns from data
    run: RunSettings = dataclasses.field(default_factory=RunSettings)

    def __post_init__(self):
        if not isinstance(self.recipe, AbstractRecipe):
            raise ValueError(f"`recipe` must be a recipe; got {self.recipe!r}.")
        validate.count("total_steps", self.recipe.total_steps)
        if self.recipe.total_steps > MOST_STEPS:
            raise ValueError(
                f"`total_steps` may be at most {MOST_STEPS:,}; got {self.recipe.total_steps:,}."
            )
        if self.run.seed + (self.run.seeds or 1) > MOST_SEEDS:
            raise ValueError(
                f"`seed` + `seeds` may be at most {MOST_SEEDS:,}; got {self.run.seed:,}."
            )

    def __repr__(self) -> str:
        return "\n".join(_lines("", self))

    @property
    def algorithm(self) -> str:
        """What trains, by its name."""
        return self.recipe.name

    @property
    def environment_name(self) -> str:
        """What the environment is called."""
        environment = self.environment
        if environment is None:
            return "data"
        return environment if isinstance(environment, str) else called(environment)

    def task(self, *, num_seeds: int | None = None) -> AbstractTask:
        """The environment; `num_seeds` where it is not for training."""
        if self.environment is None:
            raise ValueError(f"this run of {self.algorithm} has no environment.")
        return make_task(
            self.environment,
            num_seeds=num_seeds or self.run.seeds or 1,
            run_seed=self.run.seed,
            backend=self.run.backend,
            env_args=self.run.arguments,
            history=self.run.history,
            timeout=self.run.env_timeout or None,
            num_workers=self.run.env_workers,
        )


def _lines(name: str, value: Any) -> Iterator[str]:
    """One line a setting, those that belong together indented under what they belong to."""
    if not dataclasses.is_dataclass(value):
        yield f"{name}: {value.value if isinstance(value, enum.Enum) else value!r}"
        return
    yield f"{name}: {type(value).__name__}" if name else type(value).__name__
    for field in dataclasses.fields(value):
        for line in _lines(field.name, getattr(value, field.name)):
            yield f"  {line}"


def env_args(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` pairs as arguments; values are numbers, true, false or text."""
    arguments = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"`env_arg` must have the form name=value; got {pair!r}.")
        arguments[name] = _value(value)
    return arguments


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if not math.isfinite(number):
            raise ValueError(f"`env_arg` takes finite numbers and text; got {text}.")
        return number
    return text


def to_json(settings: Any) -> Any:
    """Dataclasses and Equinox modules as objects, tuples as lists, enumerations as their values."""
    if isinstance(settings, enum.Enum):
        return settings.value
    if dataclasses.is_dataclass(settings):
        names = [field.name for field in dataclasses.fields(settings)]
        return {name: to_json(getattr(settings, name)) for name in names}
    if isinstance(settings, tuple):
        return [to_json(item) for item in settings]
    return settings


def from_json[T](kind: type[T], data: Any) -> T:
    """The inverse of `to_json`; raises `ValueError` for a field that `kind` does not have."""
    hints = typing.get_type_hints(kind)
    unknown = set(data) - set(hints)
    if unknown:
        raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(unknown))}.")
    return kind(**{name: _field(hints[name], value) for name, value in data.items()})


def _field(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    choices = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (types.UnionType, typing.Union)
        else (hint,)
    )
    for choice in choices:
        if isinstance(choice, type) and issubclass(choice, enum.Enum):
            return choice(value)
        is_kind = isinstance(choice, type) and dataclasses.is_dataclass(choice)
        if is_kind and isinstance(value, Mapping):
            return from_json(choice, value)
    return tuple(value) if isinstance(value, list) else value


def settings_to_json(settings: Settings) -> dict[str, Any]:
    """What a run folder keeps of its settings; the names under which it finds what is not ours."""
    recipe, environment = settings.recipe, settings.environment
    kind = type(recipe)
    named = None if environment is None else importable_name(environment)
    return {
        "algorithm": settings.algorithm,
        "recipe_class": f"{kind.__module__}:{kind.__qualname__}",
        "environment": settings.environment_name if named is None else named,
        "environment_given": environment is not None and named is None,
        "recipe": to_json(recipe),
        "run": to_json(settings.run),
    }


def settings_from_json(data: Mapping[str, Any], environment: Environment | None = None) -> Settings:
    """Read what `settings_to_json` wrote; `environment` where no name leads to it.

    **Raises:** `ValueError` for a recipe of one's own that the program has not imported.
    """
    if environment is None and data["environment_given"]:
        environment = GivenEnvironment(data["environment"])
    elif environment is None and data["environment"] != "data":
        environment = data["environment"]
    recipe = from_json(_recipe_class(data), data["recipe"])
    return Settings(recipe, environment, from_json(RunSettings, data["run"]))


def _recipe_class(data: Mapping[str, Any]) -> type[AbstractRecipe]:
    """The class that wrote them: of ours, or one that the program has imported already."""
    module, _, name = data["recipe_class"].partition(":")
    known = RECIPES.get(data["algorithm"])
    if known is not None and (known.__module__, known.__qualname__) == (module, name):
        return known
    # Nothing is imported because a folder says so: it may be somebody else's.
    found = getattr(sys.modules.get(module), name, None)
    if not (isinstance(found, type) and issubclass(found, AbstractRecipe)):
        raise ValueError(f"a run of {module}:{name}, a recipe of its own: import {module} first.")
    return found


def differences(saved: Any, wanted: Any, path: str = "") -> list[str]:
    """Every setting in which two `to_json` trees differ, in words."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        names = dict.fromkeys([*saved, *wanted])
        return [d for n in names for d in differences(saved.get(n), wanted.get(n), n)]
    return [] if saved == wanted else [f"`{path}` was {saved!r} and is now {wanted!r}"]
