"""A step on the host between collecting and buffer: what it makes of a gather is learned."""

import dataclasses
from typing import Any

import jax.random as jr
import numpy as np
import pytest

import rewardtogo as rtg
from own_environments import Walk
from rewardtogo.sources.protocol import AbstractScreening


class SecondOnly(AbstractScreening):
    """Gathers again, and pays 7 for every step of what came then."""

    def screen(self, gathered: Any, again: Any) -> Any:
        more = again()
        assert not np.array_equal(more.observation, gathered.observation)
        return dataclasses.replace(more, reward=0 * more.reward + 7)


class Rewards(rtg.algorithms.AbstractAlgorithm):
    def init(self, models: Any) -> Any:
        return models

    def update(self, state: Any, batch: Any, *, key: Any) -> Any:
        return state, {"train/reward": batch.reward.mean(dtype="float32")}

    def behaviour(self, state: Any) -> Any:
        return rtg.PPO().behaviour(rtg.PPO().init(state))

    def policy(self, state: Any) -> Any:
        raise NotImplementedError


def test_what_a_screening_makes_is_learned_and_both_gathers_count():
    task = rtg.make_task(Walk, num_seeds=2, run_seed=0)
    whole = rtg.PPORecipe(num_envs=2, num_steps=4, hidden=(4,)).build(task)
    source = rtg.Source(whole.source.collector, rtg.Latest(), screening=SecondOnly())
    program = rtg.build_program(
        rtg.Loop(Rewards(), source, whole.models), keys=jr.split(jr.key(0), 2)
    )
    state, totals = program.chunk(program.init(), 0, 3, 10**6)
    task.close()
    assert np.allclose(np.asarray(totals.metrics["train/reward"]) / 3, 7)
    assert np.array_equal(state.collector.progress, [3 * 2 * 8] * 2)


def test_a_screening_needs_a_collector_on_the_host():
    rollout = rtg.Rollout(rtg.make("CartPole-v1"), 2, 4)
    with pytest.raises(ValueError, match="runs on the host, and so must the collector"):
        rtg.Source(rollout, rtg.Latest(), screening=SecondOnly())
