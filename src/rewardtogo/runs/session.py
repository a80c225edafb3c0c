"""The loop over the reports of a run: plain Python, one thing after another."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..envs.block import EnvironmentFault
from ..files import write_json
from ..progress import Progress
from ..recipes.base import Phase
from ..sources.task import AbstractTask
from ..statistics import stratified_bootstrap
from ..training.compiled import Program
from ..training.evaluate import EVALUATION_SEED
from ..training.evaluators import AbstractEvaluator, Evaluated, Measure, Measured
from ..training.loop import TrainState
from ..training.train import Report, TrainingFault, build_program, train
from ..types import AbstractShared
from .evaluation import evaluation
from .folder import RunFolder
from .interrupt import Interrupt
from .learning_curves import learning_curves
from .result import Result
from .resume import Saved, restore_latest
from .settings import Settings
from .writer import Place, RunWriter


# Rows of `metrics.jsonl` for each seed, where nothing else is asked for.
REPORTS = 100


class Position(NamedTuple):
    """How far a run has come."""

    phase: int
    iteration: int  # of this phase
    place: Place  # over all phases
    state: TrainState | None  # None before anything is built
    finished: bool

    @property
    def progress(self) -> np.ndarray:
        """Of each seed, in all units together."""
        return sum(self.place.progress.values(), np.zeros((), int))


@dataclasses.dataclass
class Session:
    """One process's part in a run: from its beginning or a checkpoint to its end."""

    settings: Settings
    phases: tuple[Phase, ...]
    data: AbstractShared | None
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
            start = self._start(parameters, resume=resume)
            self.progress.begin(int(start.progress.min()))
            writer = RunWriter(
                self.folder,
                self.seeds,
                larger_is_better=self._evaluator.larger_is_better,
                tensorboard=self.tensorboard,
            )
            with contextlib.closing(writer):
                end = self._train(start, writer, interrupt)
        if interrupt.requested:
            raise KeyboardInterrupt(f"all is saved; to go on: {self._command()}")
        taken = int(np.sum(end.progress - start.progress))
        return self._finish(end, taken, time.monotonic() - began)

    @functools.cached_property
    def _programs(self) -> tuple["_Lazy", ...]:
        keys = jax.vmap(jax.random.key)(jnp.asarray(self.seeds, jnp.uint32))
        return tuple(_Lazy(phase, keys) for phase in self.phases)

    def _start(self, parameters: PyTree | None, *, resume: bool) -> Position:
        """A checkpoint's position, or the beginning."""
        templates = [lambda p=p: p.program.template() for p in self._programs]
        saved = restore_latest(self.folder, templates) if resume else None
        if saved is not None:
            return self._restored(saved)
        if resume:
            self.progress.warn(f"Nothing was saved in {self.folder.path}: starting over.")
        state = None
        if parameters is not None:
            state = dataclasses.replace(self._programs[0].program.init(), learner=parameters)
        nothing = np.zeros(len(self.seeds), int)
        place = Place(0, {phase.loop.source.collector.unit.tag: nothing for phase in self.phases})
        return Position(0, 0, place, state, False)

    def _restored(self, saved: Saved) -> Position:
        state = self._programs[saved.phase].program.resume(saved.state)
        progress = {tag: np.asarray(counts) for tag, counts in saved.progress.items()}
        self.progress.say(f"Going on after {self._done(progress)} a seed.")
        if self.phases[saved.phase].loop.source.on_host:
            self.progress.say(
                "Environments in Python begin new episodes, with the seeds that come next: "
                "what they hold inside cannot be saved."
            )
        done = saved.finished and saved.total_steps >= self.settings.recipe.total_steps
        return Position(saved.phase, saved.iteration, Place(saved.row, progress), state, done)

    def _done(self, progress: dict[str, np.ndarray]) -> str:
        units = {p.loop.source.collector.unit for p in self.phases}
        counts = [f"{progress[unit.tag].min():,} {unit.name}" for unit in units]
        return " and ".join(counts)

    def _train(self, start: Position, writer: RunWriter, interrupt: Interrupt) -> Position:
        """Go from `start` to the end, or to the first report after a Ctrl-C, which is saved."""
        at = start
        began = int(np.sum(start.progress))
        try:
            for phase in range(start.phase, len(self.phases)):
                at = self._entered(at, phase)
                before = at
                for report in self._reports(at):
                    stopping = interrupt.requested
                    at = self._take(report, before, at, writer, began, save=stopping)
                    if at.finished or stopping:
                        break
                if at.finished or interrupt.requested:
                    break
        except (TrainingFault, EnvironmentFault) as fault:
            fault.add_note(writer.last_saved())
            raise
        return at

    def _entered(self, at: Position, phase: int) -> Position:
        """The position at the beginning of a phase, which goes on with what was learned."""
        if phase == at.phase:
            return at
        assert at.state is not None
        begun = self._programs[phase].program.init()
        state = dataclasses.replace(begun, learner=at.state.learner)
        return Position(phase, 0, at.place, state, False)

    def _reports(self, at: Position) -> Iterator[Report]:
        if at.finished:
            return iter(())
        run, total = self.settings.run, self.phases[at.phase].total
        report_every = run.report_every or max(1, total // REPORTS)
        return train(
            self._programs[at.phase].program,
            total_steps=total,
            report_every=min(report_every, run.eval_every or report_every),
            start=None if at.state is None else (at.iteration, at.state),
        )

    def _take(
        self,
        report: Report,
        entered: Position,
        before: Position,
        writer: RunWriter,
        began: int,
        *,
        save: bool,
    ) -> Position:
        """Evaluate where that is due, write the rows, save, show."""
        tag = self.phases[before.phase].loop.source.collector.unit.tag
        earlier = self._earlier(before.phase, tag)
        progress = before.place.progress | {tag: earlier + report.progress}
        row = entered.place.iteration - entered.iteration + report.iteration
        place = Place(row, progress)
        at = Position(before.phase, report.iteration, place, report.state, False)
        extra = self._evaluated(at, before.progress, writer)
        last = report.finished and before.phase == len(self.phases) - 1
        finished = last or self._good_enough(extra)
        taken = int(np.sum(at.progress)) - began
        writer.write(place, taken, report.metrics | extra)
        self.progress.update(int(at.progress.min()), self._text(report, extra))
        info = {
            "finished": finished,
            "total_steps": self.settings.recipe.total_steps,
            "phase": before.phase,
            "iteration": report.iteration,
        }
        if save or finished:
            writer.save(report.state, place, info)
        else:
            writer.save_if_due(report.state, place, info)
        return at._replace(finished=finished)

    def _earlier(self, phase: int, tag: str) -> int:
        """What the phases before had counted in the same unit."""
        units = [(p.loop.source.collector.unit.tag, p.total) for p in self.phases[:phase]]
        return sum(total for other, total in units if other == tag)

    @functools.cached_property
    def _evaluator(self) -> AbstractEvaluator:
        return self.settings.recipe.evaluator(self.data)

    @functools.cached_property
    def _evaluation_task(self) -> AbstractTask | None:
        return None if self.settings.environment is None else self.settings.task()

    @functools.cached_property
    def _measure(self) -> Measure:
        items, seeds = self.settings.run.eval_episodes, len(self.seeds)
        loop = self.phases[-1].loop
        return self._evaluator.prepare(Evaluated(loop, self._evaluation_task, seeds, items))

    def _evaluated(
        self, at: Position, before: np.ndarray, writer: RunWriter
    ) -> dict[str, np.ndarray]:
        """The figures of an evaluation, where one is due; the best policy is kept."""
        every = self.settings.run.eval_every
        if not every or at.progress.min() // every == before.min() // every:
            return {}
        assert at.state is not None
        found = self._measure(at.state.learner, EVALUATION_SEED)
        writer.save_best(at.state, at.place, float(found.figures[self._evaluator.tag].mean()))
        return found.figures

    def _good_enough(self, extra: dict[str, np.ndarray]) -> bool:
        wanted = self.settings.run.stop_at_return
        if wanted is None or not extra:
            return False
        reached = extra[self._evaluator.tag].mean()
        if reached >= wanted:
            self.progress.say(f"Stopping: evaluated return {reached:.4g} reached {wanted:g}.")
        return bool(reached >= wanted)

    def _text(self, report: Report, extra: dict[str, np.ndarray]) -> str:
        if extra:
            figures, what = extra[self._evaluator.tag], f"evaluated {self._evaluator.figure}"
        elif self.settings.environment is None:
            figures, what = report.metrics.get("train/loss", np.full(1, np.nan)), "loss"
        else:
            figures, what = report.metrics["rollout/ep_rew_mean"], "return"
        figures = figures[np.isfinite(figures)]
        if not figures.size:
            return "no episode ended yet"
        return f"{what} {stratified_bootstrap(figures, np.mean, resamples=200, seed=0)}"

    def _command(self) -> str:
        """What to type to go on with this run."""
        names = f"{self.settings.algorithm} {self.settings.environment_name}"
        return f"rtg train {names} --run-dir {self.folder.path} --resume"

    def _finish(self, end: Position, taken: int, seconds: float) -> Result:
        assert end.state is not None
        measured: Measured = self._measure(end.state.learner, EVALUATION_SEED)
        task = self._evaluation_task
        found = evaluation(
            measured,
            self.seeds,
            end.progress,
            optimum=None if task is None else task.optimum,
            figure=self._evaluator.figure,
        )
        write_json(self.folder.evaluation, found.to_json())
        self.progress.say(draw_curve(self.folder))
        names = (self.settings.algorithm, self.settings.environment_name)
        unit = self.phases[-1].loop.source.collector.unit.name
        return Result(self.folder.path, *names, found, taken, seconds, unit)


class _Lazy:
    """The program of a phase, made when it is first needed: a phase passed by compiles nothing."""

    def __init__(self, phase: Phase, keys: jax.Array):
        self._phase, self._keys = phase, keys

    @functools.cached_property
    def program(self) -> Program:
        return build_program(self._phase.loop, keys=self._keys)


def draw_curve(folder: RunFolder) -> str:
    """Draw the learning curve into the run folder; say where, or why not."""
    try:
        learning_curves([folder.path], folder.curve)
    except (ImportError, ValueError) as error:
        return f"No learning curve: {error}"
    return f"Learning curve: {folder.curve}"
