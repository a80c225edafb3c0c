"""The training loop over seeds: compile once, run a chunk, report, repeat."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from .. import validate
from ..sources.fault import FIELDS
from .compiled import Program, compiled_program
from .host import host_program
from .loop import Loop, Totals, TrainState


class Report(NamedTuple):
    """What happened since the last report; arrays have one entry a seed.

    `state.learner` may be kept; the rest of `state` is consumed by the next report.
    """

    iteration: int
    progress: np.ndarray
    state: TrainState
    metrics: dict[str, np.ndarray]  # NaN where a seed has no data: no episode ended, say
    finished: bool


class TrainingFault(RuntimeError):
    """A number that is not finite came up; nothing after it should be kept."""


def build_program(loop: Loop, *, keys: Key[Array, " seed"]) -> Program:
    """Make the program that `train` runs: one seed for each of `keys`, `[seeds]`."""
    make = host_program if loop.source.on_host else compiled_program
    return make(loop, keys)


def train(
    program: Program,
    *,
    total_steps: int,
    report_every: int,
    start: tuple[int, TrainState] | None = None,
) -> Iterator[Report]:
    """Run `program`, and yield a report about every `report_every` of a seed's progress.

    Logging, evaluation, checkpoints and early stopping are plain Python over the reports.

    Progress is counted in what the source says: environment steps, or updates without any.

    **Arguments:** `total_steps`: the progress of each seed, warm-up included, rounded up to whole
    iterations. `start`: the iteration and state of an earlier report, to go on from.
    **Raises:** `TrainingFault` when a number is not finite, in place of its report.
    """
    source = program.source
    validate.count("total_steps", total_steps)
    validate.count("report_every", report_every)
    iteration, state = start or (0, program.init())
    warm, last = source.warmup_gathers, source.num_iterations(total_steps)
    chunk_size = max(1, round(report_every / (source.collector.per_gather or report_every)))

    def is_finished(iteration: int, progress: np.ndarray) -> bool:
        return bool(np.all(progress >= total_steps)) if last is None else iteration >= last

    finished = is_finished(iteration, np.asarray(state.collector.progress))
    while not finished:
        until = iteration + chunk_size if last is None else min(iteration + chunk_size, last)
        state, totals = program.chunk(state, warm + iteration, warm + until, total_steps)
        iteration, progress = until, np.asarray(state.collector.progress)
        _raise_faults(state, totals)
        finished = is_finished(iteration, progress)
        yield Report(iteration, progress, state, _metrics(state, totals), finished)


def _raise_faults(state: TrainState, totals: Totals) -> None:
    fault = jax.tree.map(np.asarray, state.collector.fault)
    for seed in np.flatnonzero(fault.step >= 0):
        raise TrainingFault(
            f"NaN or infinity in the {FIELDS[fault.field[seed]]} of environment {fault.env[seed]} "
            f"at its step {fault.step[seed]} (seed number {seed} of this run, from 0)."
        )
    for seed in np.flatnonzero(np.asarray(totals.bad_iteration) >= 0):
        names = [n for n, sums in totals.metrics.items() if not np.isfinite(sums[seed])]
        raise TrainingFault(
            f"NaN or infinity in {', '.join(names) or 'a metric'} at iteration "
            f"{int(totals.bad_iteration[seed])} (seed number {seed} of this run, from 0)."
        )
    for leaf in jax.tree.leaves(state.learner):
        if np.issubdtype(leaf.dtype, np.floating) and not np.all(np.isfinite(leaf)):
            raise TrainingFault(
                "NaN or infinity in the parameters or the optimiser's state after iteration "
                f"{int(np.max(totals.iterations))} of this report; the loss before it was finite."
            )


def _metrics(state: TrainState, totals: Totals) -> dict[str, np.ndarray]:
    statistics = jax.tree.map(np.asarray, state.collector.statistics)
    finished = statistics.finished.sum(axis=-1)
    iterations = np.asarray(totals.iterations)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN: no data
        return {
            "rollout/ep_rew_mean": statistics.finished_return.sum(axis=-1) / finished,
            "rollout/ep_len_mean": statistics.finished_length.sum(axis=-1) / finished,
        } | {name: np.asarray(sums) / iterations for name, sums in totals.metrics.items()}
