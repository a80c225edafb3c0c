"""`rtg check ENV`: what is wrong with an environment of your own?"""

import dataclasses
from collections.abc import Sequence

import tyro

from ..runs.settings import env_args
from ..sources.task import Backend
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """Find faults of an environment."""

    environment: tyro.conf.Positional[str]
    """Its name: a registered one, package.module:Name-v0, or package.module:ClassName."""
    backend: Backend = "auto"
    """Which version, where there are two."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, as `name=value`."""


def run(argv: Sequence[str]) -> int:
    """Print every problem found; exit status 1 if there is any."""
    options = parse(Check, argv, prog="rtg check")
    from ..envs.check import check

    backend = None if options.backend == "auto" else options.backend
    problems = check(options.environment, backend=backend, env_args=env_args(options.env_arg))
    for problem in problems:
        print(problem)
    print(
        f"{options.environment}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)} found."
    )
    return 1 if problems else 0
