"""A whole run: train, report, evaluate, save; and all of it again after a kill."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from . import checkpoint
from .evaluate import EVALUATION_SEED, Evaluator, make_evaluator
from .interrupt import Interrupt
from .keeping import Keeper, load_parameters, open_or_create, require_memory, restore_latest
from .loop import TrainState
from .plot import learning_curves
from .programs import Program
from .progress import Progress
from .recipes import Ingredients
from .results import Result, evaluation, read_result
from .runs import RunFolder, write_json
from .saved import policy_builder
from .settings import Settings
from .statistics import stratified_bootstrap
from .train import Report, build_program, train
from .worlds import is_jax_world


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
    statistics. `quiet`: show nothing.
    **Raises:** `ValueError` for settings that cannot be, before anything is compiled or stepped;
    `TrainingFault` for a number that is not finite; what an environment raises.
    """
    settings = with_seeds(settings)
    seeds = range(settings.run.seed, settings.run.seed + (settings.run.seeds or 1))
    world = settings.world()
    ingredients = settings.recipe.build(world)
    keys = jax.vmap(jr.key)(jnp.asarray(seeds, jnp.uint32))
    program = build_program(*ingredients, keys=keys)
    if not ingredients.source.on_host:
        require_memory(program.template())
    folder, warnings = open_or_create(settings, run_dir, resume=resume)
    with folder.lock(), Progress(settings.recipe.total_steps, unit="step", quiet=quiet) as progress:
        for warning in warnings:
            progress.say(warning)
        if resume and is_finished(folder, settings.recipe.total_steps):
            progress.say(f"{folder.path} is finished; a larger --total-steps continues it.")
            return read_result(folder, settings.algorithm, settings.environment)
        start = starting_state(program, folder, from_run, len(keys), progress, resume=resume)
        keeper = Keeper(folder, seeds, tensorboard=tensorboard)
        session = Session(settings, ingredients, program, folder, keeper, progress, seeds)
        return session.run(start)


def with_seeds(settings: Settings) -> Settings:
    """Fill in the number of seeds: 8 where they train in one program, 1 on host environments."""
    if settings.run.seeds is not None:
        return settings
    seeds = 8 if is_jax_world(settings.environment, settings.run.backend) else 1
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, seeds=seeds))


def is_finished(folder: RunFolder, total_steps: int) -> bool:
    """Whether the run ended by itself with at least so many steps asked for."""
    path = checkpoint.latest(folder.checkpoints)
    if path is None or not folder.evaluation.exists():
        return False
    info = checkpoint.read_info(path)
    return info["finished"] and info["total_steps"] >= total_steps


def starting_state(
    program: Program,
    folder: RunFolder,
    from_run: Path | None,
    num_seeds: int,
    progress: Progress,
    *,
    resume: bool,
) -> tuple[int, TrainState] | None:
    """A checkpoint's, or another run's parameters; None to begin at the beginning."""
    if resume:
        found = restore_latest(folder, program.template)
        if found is not None:
            progress.say(f"Resuming {folder.path} after iteration {found[0]}.")
            return found[0], program.resume(found[1])
        progress.say(f"{folder.path} has no checkpoint: starting over.")
    if from_run is None:
        return None
    state = program.init()
    parameters = load_parameters(from_run, program.template().algorithm, num_seeds)
    return 0, dataclasses.replace(state, algorithm=parameters)


@dataclasses.dataclass
class Session:
    """The loop over reports: plain Python, one thing after another."""

    settings: Settings
    ingredients: Ingredients
    program: Program
    folder: RunFolder
    keeper: Keeper
    progress: Progress
    seeds: range

    def run(self, start: tuple[int, TrainState] | None) -> Result:
        """Train to the end, evaluate; raises `KeyboardInterrupt`, all saved, after a Ctrl-C."""
        began, total_steps = time.monotonic(), self.settings.recipe.total_steps
        state = None if start is None else start[1].algorithm
        first = steps = np.zeros(len(self.seeds), int) if start is None else start[1].gatherer.steps
        with contextlib.closing(self.keeper), Interrupt() as interrupt:
            for report in self._reports(start):
                extra = self._evaluated(report, np.asarray(steps))
                finished = report.finished or self._good_enough(extra)
                self.keeper.write(report, extra, time.monotonic() - began)
                self.progress.update(int(report.steps.min()), self._text(report))
                state, steps = report.state.algorithm, report.steps
                info = {"finished": finished, "total_steps": total_steps}
                if finished or interrupt.requested:
                    self.keeper.save(report, info)
                    break
                self.keeper.save_if_due(report, info)
            if interrupt.requested:
                raise KeyboardInterrupt(f"saved; go on with --run-dir {self.folder.path} --resume")
        seconds = time.monotonic() - began
        return self._finish(state, np.asarray(steps), int(np.sum(steps - first)), seconds)

    def _reports(self, start: tuple[int, TrainState] | None) -> Iterator[Report]:
        total_steps = self.settings.recipe.total_steps
        report_every = self.settings.run.report_every or max(1, total_steps // REPORTS)
        return train(
            self.program,
            self.ingredients.source,
            total_steps=total_steps,
            report_every=report_every,
            start=start,
        )

    @functools.cached_property
    def _evaluate(self) -> Evaluator:
        return make_evaluator(
            self.settings.world(),
            policy_builder(self.ingredients),
            num_seeds=len(self.seeds),
            num_episodes=self.settings.run.eval_episodes,
        )

    def _evaluated(self, report: Report, before: np.ndarray) -> dict[str, np.ndarray]:
        """The figures of an evaluation, where one is due; the best policy is kept."""
        every = self.settings.run.eval_every
        if not every or report.steps.min() // every == before.min() // every:
            return {}
        episodes = self._evaluate(report.state.algorithm, EVALUATION_SEED)
        means = episodes.returns.mean(axis=1)
        self.keeper.save_best(report, float(means.mean()))
        return {"eval/mean_reward": means, "eval/mean_ep_length": episodes.lengths.mean(axis=1)}

    def _good_enough(self, extra: dict[str, np.ndarray]) -> bool:
        wanted = self.settings.run.stop_at_return
        if wanted is None or not extra:
            return False
        return bool(extra["eval/mean_reward"].mean() >= wanted)

    def _text(self, report: Report) -> str:
        returns = report.metrics["rollout/ep_rew_mean"]
        returns = returns[np.isfinite(returns)]
        if not returns.size:
            return "no episode ended yet"
        return f"return {stratified_bootstrap(returns, np.mean, resamples=200, seed=0)}"

    def _finish(self, state: Any, steps: np.ndarray, taken: int, seconds: float) -> Result:
        found = evaluation(self._evaluate(state, EVALUATION_SEED), self.seeds, steps)
        write_json(self.folder.evaluation, found.to_json())
        names = (self.settings.algorithm, self.settings.environment)
        self.progress.say(draw_curve(self.folder))
        return Result(self.folder.path, *names, found, taken, seconds)


def draw_curve(folder: RunFolder) -> str:
    """Draw the learning curve into the run folder; say where, or why not."""
    try:
        learning_curves([folder.path], folder.curve)
    except ImportError as error:
        return str(error)
    return f"Learning curve: {folder.curve}"
