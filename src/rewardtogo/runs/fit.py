"""A whole run: train, report, evaluate, save; and all of it again after a kill."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ..envs.block import EnvironmentFault
from ..files import write_json
from ..progress import Progress
from ..recipes import Ingredients
from ..sources.room import require_memory
from ..sources.task import AbstractTask, is_jax_task
from ..statistics import stratified_bootstrap
from ..training.compiled import Program
from ..training.evaluate import EVALUATION_SEED, Evaluator, make_evaluator
from ..training.loop import TrainState
from ..training.train import Report, TrainingFault, build_program, train
from .evaluation import evaluation
from .folder import RunFolder
from .interrupt import Interrupt
from .learning_curves import learning_curves
from .load import algorithm_shape, policy_builder
from .result import Result, read_result
from .resume import (
    differences_from_saved,
    is_finished,
    load_parameters,
    open_or_create,
    restore_latest,
    write_settings,
)
from .settings import Settings
from .tensorboard import require_tensorboard
from .writer import RunWriter


# Rows of `metrics.jsonl` for each seed, where nothing else is asked for.
REPORTS = 100


def fit(
    settings: Settings,
    *,
    run_dir: Path | None = None,
    resume: bool = False,
    from_run: Path | None = None,
    tensorboard: bool = False,
    quiet: bool = False,
) -> Result:
    """Train as `settings` say, in a run folder, and evaluate what was learned.

    **Arguments:** `run_dir`: the folder itself; without it one is named under `runs/`. `resume`: go
    on from its last checkpoint. `from_run`: start from that run's parameters, optimiser and
    statistics. `quiet`: show warnings only.
    **Raises:** `ValueError` for settings that cannot be, before anything is compiled or stepped;
    `TrainingFault` for a number that is not finite; `EnvironmentFault` from what an environment
    raises; `KeyboardInterrupt`, all saved, after a Ctrl-C.
    """
    settings = with_seeds(settings)
    total_steps = settings.recipe.total_steps
    with (
        contextlib.closing(settings.task()) as task,
        Progress(total_steps, unit="steps", quiet=quiet) as progress,
    ):
        ingredients = settings.recipe.build(task)
        require_memory(ingredients.source, task)
        parameters = None
        if from_run is not None:
            parameters = load_parameters(from_run, settings, algorithm_shape(ingredients))
        if tensorboard:
            require_tensorboard()
        folder = open_or_create(settings, run_dir, resume=resume)
        with folder.lock():
            for warning in differences_from_saved(folder, settings):
                progress.warn(warning)
            if resume and is_finished(folder, total_steps):
                progress.warn(f"{folder.path} is finished; a larger --total-steps continues it.")
                return read_result(folder, settings.algorithm, settings.environment)
            write_settings(folder, settings, from_run)
            session = Session(settings, ingredients, folder, progress, tensorboard)
            return session.run(parameters, resume=resume)


def with_seeds(settings: Settings) -> Settings:
    """Fill in the number of seeds: 8 where they train in one program, 1 on host environments."""
    if settings.run.seeds is not None:
        return settings
    seeds = 8 if is_jax_task(settings.environment, settings.run.backend) else 1
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, seeds=seeds))


class Position(NamedTuple):
    """How far a run has come."""

    iteration: int
    steps: np.ndarray  # one a seed
    state: TrainState | None  # None before anything is built
    finished: bool


@dataclasses.dataclass
class Session:
    """The loop over reports: plain Python, one thing after another."""

    settings: Settings
    ingredients: Ingredients
    folder: RunFolder
    progress: Progress
    tensorboard: bool

    @property
    def seeds(self) -> range:
        first = self.settings.run.seed
        return range(first, first + (self.settings.run.seeds or 1))

    def run(self, parameters: PyTree | None, *, resume: bool) -> Result:
        """Train to the end and evaluate; `parameters` replace those that a new run begins with."""
        several = f", {len(self.seeds)} seeds side by side" if len(self.seeds) > 1 else ""
        self.progress.say(f"Run folder: {self.folder.path}{several}")
        began = time.monotonic()
        # Before anything is built: a Ctrl-C that meets a callback of the compiler would be lost.
        with Interrupt() as interrupt:
            keys = jax.vmap(jr.key)(jnp.asarray(self.seeds, jnp.uint32))
            program = build_program(*self.ingredients, keys=keys)
            start = self._start(program, parameters, resume=resume)
            self.progress.begin(int(start.steps.min()))
            writer = RunWriter(self.folder, self.seeds, start.steps, tensorboard=self.tensorboard)
            with contextlib.closing(writer):
                end = self._train(program, start, writer, interrupt)
        if interrupt.requested:
            raise KeyboardInterrupt(f"all is saved; to go on: {self._command()}")
        return self._finish(end, int(np.sum(end.steps - start.steps)), time.monotonic() - began)

    def _start(self, program: Program, parameters: PyTree | None, *, resume: bool) -> Position:
        """A checkpoint's position, or the beginning."""
        saved = restore_latest(self.folder, program.template) if resume else None
        if saved is not None:
            state = program.resume(saved.state)
            steps = np.asarray(state.gatherer.steps)
            self.progress.say(f"Going on after {steps.min():,} steps a seed.")
            if self.ingredients.source.on_host:
                self.progress.say(
                    "Environments in Python begin new episodes, with the seeds that come next: "
                    "what they hold inside cannot be saved."
                )
            done = saved.finished and saved.total_steps >= self.settings.recipe.total_steps
            return Position(saved.iteration, steps, state, done)
        if resume:
            self.progress.warn(f"Nothing was saved in {self.folder.path}: starting over.")
        state = None
        if parameters is not None:
            state = dataclasses.replace(program.init(), algorithm=parameters)
        return Position(0, np.zeros(len(self.seeds), int), state, False)

    def _train(
        self, program: Program, start: Position, writer: RunWriter, interrupt: Interrupt
    ) -> Position:
        """Go from `start` to the end, or to the first report after a Ctrl-C, which is saved."""
        at = start
        try:
            for report in self._reports(program, start):
                stopping = interrupt.requested
                at = self._take(report, at, writer, save=stopping)
                if at.finished or stopping:
                    break
        except (TrainingFault, EnvironmentFault) as fault:
            fault.add_note(writer.last_saved())
            raise
        return at

    def _reports(self, program: Program, start: Position) -> Iterator[Report]:
        if start.finished:
            return iter(())
        run, total_steps = self.settings.run, self.settings.recipe.total_steps
        report_every = run.report_every or max(1, total_steps // REPORTS)
        return train(
            program,
            self.ingredients.source,
            total_steps=total_steps,
            report_every=min(report_every, run.eval_every or report_every),
            start=None if start.state is None else (start.iteration, start.state),
        )

    def _take(self, report: Report, before: Position, writer: RunWriter, *, save: bool) -> Position:
        """Evaluate where that is due, write the rows, save, show."""
        extra = self._evaluated(report, before.steps, writer)
        finished = report.finished or self._good_enough(extra)
        writer.write(report, extra)
        self.progress.update(int(report.steps.min()), self._text(report, extra))
        info = {"finished": finished, "total_steps": self.settings.recipe.total_steps}
        if save or finished:
            writer.save(report, info)
        else:
            writer.save_if_due(report, info)
        return Position(report.iteration, report.steps, report.state, finished)

    @functools.cached_property
    def _evaluation_world(self) -> AbstractTask:
        return self.settings.task()

    @functools.cached_property
    def _evaluate(self) -> Evaluator:
        return make_evaluator(
            self._evaluation_world,
            policy_builder(self.ingredients),
            num_seeds=len(self.seeds),
            num_episodes=self.settings.run.eval_episodes,
            discount=self.settings.recipe.algorithm.discount,
        )

    def _evaluated(
        self, report: Report, before: np.ndarray, writer: RunWriter
    ) -> dict[str, np.ndarray]:
        """The figures of an evaluation, where one is due; the best policy is kept."""
        every = self.settings.run.eval_every
        if not every or report.steps.min() // every == before.min() // every:
            return {}
        episodes = self._evaluate(report.state.algorithm, EVALUATION_SEED)
        means = episodes.returns.mean(axis=1)
        writer.save_best(report, float(means.mean()))
        found = {"eval/mean_reward": means, "eval/mean_ep_length": episodes.lengths.mean(axis=1)}
        if episodes.q_minus_return is not None:
            found["eval/q_minus_return"] = episodes.q_minus_return.mean(axis=1)
        return found

    def _good_enough(self, extra: dict[str, np.ndarray]) -> bool:
        wanted = self.settings.run.stop_at_return
        if wanted is None or not extra:
            return False
        reached = extra["eval/mean_reward"].mean()
        if reached >= wanted:
            self.progress.say(f"Stopping: evaluated return {reached:.4g} reached {wanted:g}.")
        return bool(reached >= wanted)

    def _text(self, report: Report, extra: dict[str, np.ndarray]) -> str:
        name = "eval/mean_reward" if extra else "rollout/ep_rew_mean"
        returns = (report.metrics | extra)[name]
        returns = returns[np.isfinite(returns)]
        if not returns.size:
            return "no episode ended yet"
        what = "evaluated return" if extra else "return"
        return f"{what} {stratified_bootstrap(returns, np.mean, resamples=200, seed=0)}"

    def _command(self) -> str:
        """What to type to go on with this run."""
        settings = self.settings
        names = f"{settings.algorithm} {settings.environment}"
        return f"rtg train {names} --run-dir {self.folder.path} --resume"

    def _finish(self, end: Position, taken: int, seconds: float) -> Result:
        assert end.state is not None
        episodes = self._evaluate(end.state.algorithm, EVALUATION_SEED)
        optimum = self._evaluation_world.optimum
        found = evaluation(episodes, self.seeds, end.steps, optimum)
        write_json(self.folder.evaluation, found.to_json())
        self.progress.say(draw_curve(self.folder))
        names = (self.settings.algorithm, self.settings.environment)
        return Result(self.folder.path, *names, found, taken, seconds)


def draw_curve(folder: RunFolder) -> str:
    """Draw the learning curve into the run folder; say where, or why not."""
    try:
        learning_curves([folder.path], folder.curve)
    except (ImportError, ValueError) as error:
        return f"No learning curve: {error}"
    return f"Learning curve: {folder.curve}"
