"""A run of two phases: updates on data, then steps of an environment, by one learner."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import rewardtogo as rtg
from own_environments import Line
from rewardtogo.algorithms.protocol import AbstractAlgorithm
from rewardtogo.nn.distributions import Categorical
from rewardtogo.nn.policies import SamplingBehaviour, StatelessPolicy
from rewardtogo.recipes.base import AbstractRecipe, Phase
from rewardtogo.runs import checkpoint
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.writer import RunWriter
from rewardtogo.training.evaluators import GreedyReturn


class Even(StatelessPolicy[Categorical]):
    def distribution(self, observation):
        return Categorical(jnp.zeros((*jnp.shape(observation)[:-1], 2)))


class Summing(AbstractAlgorithm):
    """Its state is the sum of all rewards that it was shown, and the number of updates."""

    discount: float = 0.9

    def init(self, models):
        return jnp.zeros(2)

    def update(self, state, batch, *, key):
        return state + jnp.stack([batch.reward.sum(), 1.0]), {"train/loss": state[0]}

    def behaviour(self, state):
        return SamplingBehaviour(Even())

    def policy(self, state):
        return Even()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPhases(AbstractRecipe):
    name = "two-phases"
    algorithm: Summing = Summing()

    def phases(self, task: Any, data: Any) -> tuple[Phase, ...]:
        models = lambda key: ()
        offline = rtg.Source(rtg.NoCollector(5), rtg.Dataset(data, 3, 5))
        online = rtg.Source(task.rollout(2, 4), rtg.Latest())
        loops = [rtg.Loop(self.algorithm, source, models) for source in (offline, online)]
        return Phase(loops[0], 20), Phase(loops[1], self.total_steps)

    def evaluator(self, data: Any) -> GreedyReturn:
        return GreedyReturn()


DATA = {"reward": np.ones(10, np.float32)}


class Shown(Summing):
    """The same, of rows that are a dictionary in the first phase."""

    def update(self, state, batch, *, key):
        reward = batch["reward"] if isinstance(batch, dict) else batch.reward
        return state + jnp.stack([reward.sum(), 1.0]), {"train/loss": state[0]}


RECIPE = TwoPhases(algorithm=Shown(), total_steps=48)


def fitted(path, **more):
    given = {"seeds": 2, "report_every": 5, "eval_episodes": 2, "quiet": True}
    return rtg.fit(RECIPE, Line, data=DATA, run_dir=path, **(given | more))


def last(path):
    newest = checkpoint.latest(path / "checkpoints")
    assert newest is not None
    return (newest / "arrays.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("phases") / "run"
    return fitted(path), path


def test_every_row_counts_both(whole):
    rows = [row for row in read_rows(whole[1] / "metrics.jsonl") if row["seed"] == 0]
    counts = [(row["time/total_updates"], row["time/total_timesteps"]) for row in rows]
    assert counts[:4] == [(5, 0), (10, 0), (15, 0), (20, 0)]
    assert counts[4:] == [(20, steps) for steps in range(8, 49, 8)]
    assert [row["iteration"] for row in rows] == list(range(1, 11))


def test_the_second_phase_goes_on_with_what_was_learned(whole):
    """20 updates of three rows worth 1 each, then six rollouts: 26 updates in all."""
    rows = [row for row in read_rows(whole[1] / "metrics.jsonl") if row["seed"] == 1]
    assert rows[4]["train/loss"] == 60  # the sum before the first rollout
    assert whole[0].evaluation.steps == (68, 68)


@pytest.mark.parametrize("rows_written", [2, 4, 7], ids=["first", "border", "second"])
def test_killed_in_either_phase_it_ends_with_the_same_bits(
    whole, rows_written, tmp_path, monkeypatch
):
    monkeypatch.setattr("rewardtogo.runs.writer.SAVING_SHARE", 1e9)  # save at every report
    write, count = RunWriter.write, []

    def killed(self, *args):
        write(self, *args)
        count.append(None)
        if len(count) == rows_written:
            raise RuntimeError("killed")

    monkeypatch.setattr(RunWriter, "write", killed)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(tmp_path / "run")
    monkeypatch.setattr(RunWriter, "write", write)
    fitted(tmp_path / "run", resume=True)
    assert last(tmp_path / "run") == last(whole[1])
