"""`rtg train ALGORITHM ENVIRONMENT`: train, show, keep."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from .. import validate
from ..devices import Device
from ..recipes import RECIPES, default_recipe
from ..runs.resume import read_settings
from ..runs.settings import RunSettings, Settings
from .flags import parse, value_of


USAGE = f"""usage: rtg train ALGORITHM ENVIRONMENT [flags]

Algorithms: {", ".join(RECIPES)}. `rtg train ppo --help` lists the flags of one, and
`rtg train ppo CartPole-v1 --help` with the defaults tuned for that environment."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What concerns this command alone, and not the run."""

    run_dir: Path | None = None
    """The run folder itself; default is a new one under `runs/`."""
    resume: bool = False
    """Go on from the last checkpoint in `run_dir`; a larger `total_steps` goes beyond its end."""
    from_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Start from the parameters of the run in this folder."""
    tensorboard: bool = False
    """Write TensorBoard files too."""
    device: Device = "auto"
    """Where to compute; auto is a GPU where JAX sees one."""
    quiet: bool = False
    """Print the summary only."""


def run(argv: Sequence[str]) -> int:
    """Parse, check, train, print the summary."""
    algorithm, environment, flags = _names(argv)
    if algorithm is None:
        print(USAGE)
        return 0 if flags else 2
    default = default_recipe(algorithm, environment or "")
    command = _command(type(default))
    saved = _saved_settings(flags, algorithm, environment)
    parsed = parse(
        command,
        flags,
        prog=f"rtg train {algorithm} {environment or 'ENVIRONMENT'}",
        description=type(default).__doc__ or "",
        default=command(saved.recipe, saved.run, TrainOptions()) if saved else command(default),
    )
    if environment is None:
        raise ValueError("which environment? `rtg list` shows what there is.")
    return _train(Settings(parsed.recipe, environment, parsed.run), parsed.session)


def _names(argv: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """The algorithm and the environment, which come first, and the flags after them."""
    names = []
    for word in argv[:2]:
        if word.startswith("-"):
            break
        names.append(word)
    if names:
        validate.one_of("algorithm", names[0], RECIPES)
    algorithm, environment = (*names, None, None)[:2]
    return algorithm, environment, list(argv[len(names) :])


def _command(recipe: type) -> Any:
    """Three groups of flags in one: the recipe's, the run's, this command's."""
    return dataclasses.make_dataclass(
        "Train",
        [
            ("recipe", recipe, dataclasses.field()),
            ("run", RunSettings, dataclasses.field(default=RunSettings())),
            (
                "session",
                tyro.conf.FlagCreatePairsOff[TrainOptions],
                dataclasses.field(default=TrainOptions()),
            ),
        ],
        frozen=True,
    )


def _saved_settings(
    flags: Sequence[str], algorithm: str, environment: str | None
) -> Settings | None:
    """On `--resume` the run's own settings are the defaults, so flags need not be repeated."""
    given = value_of(flags, "--run-dir")
    if "--resume" not in flags or given is None:
        return None
    folder = Path(given)
    if not (folder / "settings.json").exists():
        return None
    saved = read_settings(folder)
    same = (saved.algorithm, saved.environment) == (algorithm, environment)
    return saved if same else None


def _train(settings: Settings, session: TrainOptions) -> int:
    from ..devices import prepare
    from ..runs.fit import run as train, with_seeds

    settings = with_seeds(settings)
    prepare(session.device, settings.run.seeds or 1)
    result = train(
        settings,
        run_dir=session.run_dir,
        resume=session.resume,
        from_run=session.from_run,
        tensorboard=session.tensorboard,
        quiet=session.quiet,
    )
    print(result)
    return 0
