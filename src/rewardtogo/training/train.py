"""The training loop over seeds: compile once, run a chunk, report, repeat."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from .. import validate
from ..algorithms.protocol import AnyAlgorithm
from ..sources.fault import FIELDS
from ..sources.protocol import AbstractSource
from .compiled import Program, compiled_program
from .host import host_program
from .loop import Loop, Totals, TrainState, num_gathers, warmup_gathers


class Report(NamedTuple):
    """What happened since the last report; arrays have one entry a seed.

    `state.algorithm` may be kept; the rest of `state` is consumed by the next report.
    """

    iteration: int
    steps: np.ndarray
    state: TrainState
    metrics: dict[str, np.ndarray]  # NaN where a seed has no data: no episode ended, say
    finished: bool


class TrainingFault(RuntimeError):
    """A number that is not finite came up; nothing after it should be kept."""


def build_program(
    algorithm: AnyAlgorithm,
    source: AbstractSource,
    models: Callable[[PRNGKeyArray], Any],
    *,
    keys: Key[Array, " seed"],
) -> Program:
    """Make the program that `train` runs: one seed for each of `keys`, `[seeds]`.

    `models` builds what `algorithm.init` takes from a key.
    """
    loop = Loop(algorithm, source, models)
    return host_program(loop, keys) if source.on_host else compiled_program(loop, keys)


def train(
    program: Program,
    source: AbstractSource,
    *,
    total_steps: int,
    report_every: int,
    start: tuple[int, TrainState] | None = None,
) -> Iterator[Report]:
    """Run `program`, and yield a report about every `report_every` environment steps of a seed.

    Logging, evaluation, checkpoints and early stopping are plain Python over the reports.

    **Arguments:** `total_steps`: environment steps of each seed, warm-up included, rounded up to
    whole iterations. `start`: the iteration and state of an earlier report, to go on from.
    **Raises:** `TrainingFault` when a number is not finite, in place of its report.
    """
    validate.count("total_steps", total_steps)
    validate.count("report_every", report_every)
    iteration, state = start or (0, program.init())
    warm, last = warmup_gathers(source), num_gathers(source, total_steps)
    chunk_size = max(1, round(report_every / (source.steps_per_gather or report_every)))

    def is_finished(iteration: int, steps: np.ndarray) -> bool:
        return bool(np.all(steps >= total_steps)) if last is None else iteration >= last

    finished = is_finished(iteration, np.asarray(state.gatherer.steps))
    while not finished:
        until = iteration + chunk_size if last is None else min(iteration + chunk_size, last)
        state, totals = program.chunk(state, warm + iteration, warm + until, total_steps)
        iteration, steps = until, np.asarray(state.gatherer.steps)
        _raise_faults(state, totals)
        finished = is_finished(iteration, steps)
        yield Report(iteration, steps, state, _metrics(state, totals), finished)


def _raise_faults(state: TrainState, totals: Totals) -> None:
    fault = jax.tree.map(np.asarray, state.gatherer.fault)
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
    for leaf in jax.tree.leaves(state.algorithm):
        if np.issubdtype(leaf.dtype, np.floating) and not np.all(np.isfinite(leaf)):
            raise TrainingFault(
                "NaN or infinity in the parameters or the optimiser's state after iteration "
                f"{int(np.max(totals.iterations))} of this report; the loss before it was finite."
            )


def _metrics(state: TrainState, totals: Totals) -> dict[str, np.ndarray]:
    tally = jax.tree.map(np.asarray, state.gatherer.tally)
    finished = tally.finished.sum(axis=-1)
    iterations = np.asarray(totals.iterations)
    with np.errstate(invalid="ignore"):  # 0/0 is NaN: no data
        return {
            "rollout/ep_rew_mean": tally.finished_return.sum(axis=-1) / finished,
            "rollout/ep_len_mean": tally.finished_length.sum(axis=-1) / finished,
        } | {name: np.asarray(sums) / iterations for name, sums in totals.metrics.items()}
