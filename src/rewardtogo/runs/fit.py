"""A whole run: train, report, evaluate, save; and all of it again after a kill."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..progress import Progress
from ..recipes import AbstractRecipe, default_recipe
from ..recipes.base import Phase
from ..sources.room import require_memory
from ..sources.task import AbstractTask, Backend, Environment, is_jax_task
from ..types import AbstractShared, Shared
from .digest import digest_of
from .load import learner_shape
from .result import Result, read_result
from .resume import (
    differences_from_saved,
    is_finished,
    load_parameters,
    open_or_create,
    settings_data,
    write_settings,
)
from .session import Session
from .settings import RunSettings, Settings
from .tensorboard import require_tensorboard


def fit(
    recipe: str | AbstractRecipe,
    environment: Environment | None = None,
    *,
    data: Any = None,
    total_steps: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    backend: Backend = "auto",
    env_args: Mapping[str, Any] = {},
    stack: int = 1,
    past_action: bool = False,
    env_timeout: float = 60.0,
    env_workers: int = 0,
    report_every: int | None = None,
    eval_every: int = 0,
    eval_episodes: int = 100,
    stop_at_return: float | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    from_run: str | Path | None = None,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Result:
    """Train in a run folder, and evaluate what was learned, as the command `rtg train` does.

    `fit("ppo", "CartPole-v1")` takes the settings tuned for the two; a recipe of one's own is
    `fit(PPORecipe(algorithm=PPO(clip=0.1)), "CartPole-v1")`.

    **Arguments:** `recipe`: an algorithm's name, or a recipe. `environment`: a name, an environment
    in JAX or its class, or a class or function that makes a Gymnasium environment. `data`: arrays
    with a row an example, for a recipe that learns from data; all seeds share them. `total_steps`
    replaces the recipe's. `env_args`: arguments of the environment's class. `run_dir`: the folder
    itself; without it one is named under `runs/`. `resume`: go on from its last checkpoint.
    `from_run`: start from that run's parameters, optimiser and statistics. `quiet`: show warnings
    only. The others are the fields of `RunSettings`, which says what they mean.
    **Raises:** `ValueError` for settings that cannot be, before anything is compiled or stepped;
    `TrainingFault` for a number that is not finite; `EnvironmentFault` from what an environment
    raises; `KeyboardInterrupt`, all saved, after a Ctrl-C.
    """
    if isinstance(recipe, str):
        recipe = default_recipe(recipe, environment if isinstance(environment, str) else "")
    if total_steps is not None:
        recipe = dataclasses.replace(recipe, total_steps=total_steps)
    settings = RunSettings(
        seeds=seeds,
        seed=seed,
        backend=backend,
        env_arg=tuple(f"{name}={value}" for name, value in env_args.items()),
        stack=stack,
        past_action=past_action,
        env_timeout=env_timeout,
        env_workers=env_workers,
        report_every=report_every,
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        stop_at_return=stop_at_return,
    )
    return run(
        Settings(recipe, environment, settings),
        data=data,
        run_dir=None if run_dir is None else Path(run_dir),
        resume=resume,
        from_run=None if from_run is None else Path(from_run),
        tensorboard=tensorboard,
        quiet=quiet,
    )


def run(
    settings: Settings,
    *,
    data: Any = None,
    run_dir: Path | None = None,
    resume: bool = False,
    from_run: Path | None = None,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Result:
    """`fit`, of settings that are put together already."""
    settings = with_seeds(settings)
    total_steps = settings.recipe.total_steps
    with contextlib.ExitStack() as stack:
        task = None
        if settings.environment is not None:
            task = stack.enter_context(contextlib.closing(settings.task()))
        shared = _shared(data)
        phases = settings.recipe.phases(task, shared)
        units = " and ".join(dict.fromkeys(p.loop.source.collector.unit.name for p in phases))
        total = sum(phase.total for phase in phases)
        progress = stack.enter_context(Progress(total, unit=units, quiet=quiet))
        _require_room(phases, task)
        parameters = None
        if from_run is not None:
            parameters = load_parameters(from_run, settings, learner_shape(phases[0].loop))
        if tensorboard:
            require_tensorboard()
        folder = open_or_create(settings, run_dir, resume=resume)
        with folder.lock():
            unit = phases[-1].loop.source.collector.unit
            digest = digest_of(phase.loop for phase in phases)
            content = settings_data(settings, task=task, unit=unit, data=digest)
            for warning in differences_from_saved(folder, content):
                progress.warn(warning)
            if resume and is_finished(folder, total_steps):
                progress.warn(f"{folder.path} is finished; a larger --total-steps continues it.")
                return read_result(folder, settings.algorithm, settings.environment_name)
            write_settings(folder, content, from_run)
            session = Session(settings, phases, shared, folder, progress, tensorboard)
            return session.run(parameters, resume=resume)


def with_seeds(settings: Settings) -> Settings:
    """Fill in the number of seeds: 8 where they train in one program, 1 on host environments."""
    if settings.run.seeds is not None:
        return settings
    environment, backend = settings.environment, settings.run.backend
    jax = environment is None or is_jax_task(environment, backend, settings.run.arguments)
    seeds = 8 if jax else 1
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, seeds=seeds))


def _shared(data: Any) -> AbstractShared | None:
    """Data as all seeds share them.

    **Raises:** `ValueError` if what was given holds no arrays.
    """
    if data is None or isinstance(data, AbstractShared):
        return data
    leaves = jax.tree.leaves(data)
    if not leaves or not all(isinstance(x, jax.Array | np.ndarray) and x.ndim for x in leaves):
        raise ValueError("`data` must hold arrays, each with one row an example.")
    return Shared(data)


def _require_room(phases: tuple[Phase, ...], task: AbstractTask | None) -> None:
    for phase in phases:
        if task is not None:
            require_memory(phase.loop.source.buffer, task)
