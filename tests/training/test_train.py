"""The loop over reports, on programs that are a few lines of Python."""

import dataclasses
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.ppo import PPO
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.nn.build import Architecture
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.episode_statistics import no_statistics
from rewardtogo.sources.fault import FIELDS, Fault
from rewardtogo.sources.protocol import AbstractCollector, BufferState, Source, Warmup
from rewardtogo.training.compiled import Program
from rewardtogo.training.loop import Loop, Totals, TrainState
from rewardtogo.training.train import TrainingFault, build_program, train
from sources.toys import Counting, Walk


NUM_SEEDS = 2


def source_of(per_gather: int | None = 10, warm: int = 0) -> Any:
    """All that `train` asks of a source."""
    collector = mock.Mock(spec=AbstractCollector, per_gather=per_gather)
    warmup = Warmup(Counting(), warm * (per_gather or 0)) if warm else None
    return Source(collector, Latest(), warmup)


class Collector(NamedTuple):
    progress: Any
    statistics: Any
    fault: Any


class Scripted:
    """A program that notes the chunks it was asked for; each gather of seed i takes `pace[i]`."""

    def __init__(self, pace=(10, 10), warm=0):
        self.pace, self.warm, self.chunks = np.array(pace), warm, []
        self.fault = Fault(*np.array([[-1, -1], [0, 0], [0, 0]], np.int32))
        self.bad, self.metrics = np.array([-1, -1]), {"train/loss": np.array([3.0, 6.0])}
        self.parameters = {"weight": jnp.ones((NUM_SEEDS, 3)), "count": jnp.zeros(NUM_SEEDS, int)}
        statistics = jax.tree.map(lambda x: np.stack([x] * NUM_SEEDS), no_statistics(2))
        self.statistics = dataclasses.replace(
            statistics,
            finished_return=np.array([[5.0, 7.0], [0.0, 0.0]], np.float32),
            finished_length=np.array([[10, 20], [0, 0]], np.int32),
            finished=np.array([[1, 2], [0, 0]], np.int32),
        )

    def program(self, source):
        never = lambda *args: pytest.fail("not asked for")
        return Program(
            init=lambda: self.state(0),
            chunk=self.chunk,
            template=never,
            resume=never,
            source=source,
        )

    def state(self, gathers):
        steps = self.pace * (self.warm + gathers)
        return TrainState(
            self.parameters, Collector(steps, self.statistics, self.fault), BufferState(())
        )

    def chunk(self, state, first, last, total_steps):
        self.chunks.append((first, last, total_steps))
        totals = Totals(self.metrics, np.full(NUM_SEEDS, last - first), self.bad)
        return self.state(last - self.warm), totals


def run(scripted, source: Any = None, *, total_steps=100, report_every=30, **settings):
    source = source or source_of()
    given = {"total_steps": total_steps, "report_every": report_every, **settings}
    return list(train(scripted.program(source), **given))


@pytest.mark.parametrize(
    ("total_steps", "report_every", "steps"),
    [
        (100, 30, [30, 60, 90, 100]),
        (91, 30, [30, 60, 90, 100]),
        (90, 30, [30, 60, 90]),
        (1, 30, [10]),
        (40, 1, [10, 20, 30, 40]),
        (100, 26, [30, 60, 90, 100]),
        (100, 10**6, [100]),
    ],
)
def test_steps_are_rounded_up_to_whole_iterations(total_steps, report_every, steps):
    """And a report comes about every so many steps; the last one is the last."""
    reports = run(Scripted(), total_steps=total_steps, report_every=report_every)
    assert [report.progress.tolist() for report in reports] == [[n, n] for n in steps]
    assert [report.iteration for report in reports] == [n // 10 for n in steps]
    assert [report.finished for report in reports] == [False] * (len(steps) - 1) + [True]


def test_gathers_are_numbered_after_the_warm_up():
    """Two of the ten gathers are the warm-up's, so that no key is used twice."""
    scripted = Scripted(warm=2)
    reports = run(scripted, source_of(warm=2))
    assert scripted.chunks == [(2, 5, 100), (5, 8, 100), (8, 10, 100)]
    assert [report.iteration for report in reports] == [3, 6, 8]
    assert reports[-1].progress.tolist() == [100, 100]


def test_going_on_from_a_report():
    scripted = Scripted(warm=2)
    first, *rest = run(scripted, source_of(warm=2))
    scripted.chunks.clear()
    again = run(scripted, source_of(warm=2), start=(first.iteration, first.state))
    assert scripted.chunks == [(5, 8, 100), (8, 10, 100)]
    assert [r.iteration for r in again] == [r.iteration for r in rest]


@pytest.mark.parametrize("per_gather", [10, None])
def test_nothing_is_left_to_do_after_the_end(per_gather):
    scripted = Scripted()
    start = (10, scripted.state(10))
    assert run(scripted, source_of(per_gather), start=start) == [] and not scripted.chunks
    assert len(run(scripted, source_of(per_gather), start=start, total_steps=101)) == 1


def test_where_gathers_differ_the_slowest_seed_decides():
    """A source of episodes: one gather a report, until every seed has had its steps."""
    reports = run(Scripted(pace=(9, 14)), source_of(None), total_steps=30)
    assert [report.progress.tolist() for report in reports] == [
        [9, 14],
        [18, 28],
        [27, 42],
        [36, 56],
    ]
    assert [report.finished for report in reports] == [False, False, False, True]


def test_metrics_are_means_and_absence_is_nan():
    """Over iterations; over episodes, and NaN where none ended."""
    metrics = run(Scripted())[0].metrics
    assert np.allclose(metrics["train/loss"], [1, 2])
    assert np.allclose(metrics["rollout/ep_rew_mean"], [4, np.nan], equal_nan=True)
    assert np.allclose(metrics["rollout/ep_len_mean"], [10, np.nan], equal_nan=True)


def test_a_fault_in_the_environment_stops_the_run():
    scripted = Scripted()
    field = FIELDS.index("reward")
    scripted.fault = Fault(*np.array([[-1, 17], [0, 3], [0, field]], np.int32))
    with pytest.raises(TrainingFault) as caught:
        run(scripted)
    assert str(caught.value) == (
        "NaN or infinity in the reward of environment 3 at its step 17 "
        "(seed number 1 of this run, from 0)."
    )
    assert len(scripted.chunks) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(bad):
    scripted = Scripted()
    scripted.metrics = {"train/loss": np.array([1.0, bad]), "train/entropy": np.ones(2)}
    scripted.bad = np.array([-1, 2])
    with pytest.raises(TrainingFault) as caught:
        run(scripted)
    assert str(caught.value) == (
        "NaN or infinity in train/loss at iteration 2 (seed number 1 of this run, from 0)."
    )


def test_a_parameter_that_is_not_finite_stops_the_run():
    scripted = Scripted()
    weight = jnp.ones((NUM_SEEDS, 3)).at[1, 2].set(jnp.nan)
    scripted.parameters = {"weight": weight, "count": jnp.zeros(NUM_SEEDS, int)}
    with pytest.raises(TrainingFault, match="in the parameters or the optimiser's state"):
        run(scripted)


@pytest.mark.parametrize("name", ["total_steps", "report_every"])
def test_counts_are_checked_before_anything_runs(name):
    scripted = Scripted()
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number, at least 1; got 0"):
        run(scripted, **{name: 0})
    assert not scripted.chunks


def test_an_environment_that_breaks_is_named_by_step_and_seed():
    """From the environment's NaN to the message, through a compiled program."""
    env = Walk(broken="reward")
    nets = Architecture(env.observation_space, env.action_space, (), "tanh")
    source, keys = Source(Rollout(env, 3, 8), Latest()), jr.split(jr.key(0), NUM_SEEDS)
    models = lambda key: ActorCritic(nets.actor(key, log_std=0.0), nets.state_value(key))
    algorithm = PPO(num_epochs=1, num_minibatches=1)
    program = build_program(Loop(algorithm, source, models), keys=keys)
    fault = program.chunk(program.init(), 0, 4, 10**6)[0].collector.fault
    seed = int(np.flatnonzero(np.asarray(fault.step) >= 0)[0])
    step, env_index = int(fault.step[seed]), int(fault.env[seed])
    expected = f"in the reward of environment {env_index} at its step {step} .seed number {seed}"
    with pytest.raises(TrainingFault, match=expected):
        list(train(program, total_steps=10**6, report_every=4 * 24))
