"""The probe of learning from arrays: no environment, one copy of the data, resumed to the bit."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from experiments.behaviour_cloning import BehaviourCloning, BehaviourCloningRecipe, Example

import rewardtogo as rtg
from rewardtogo.runs import checkpoint
from rewardtogo.runs.metrics import read_rows
from rewardtogo.runs.writer import RunWriter
from rewardtogo.sources.slabs import slabs
from rewardtogo.training.shared import SharedArrays


CONTEXTS, ACTIONS, ROWS = 4, 3, 600
RNG = np.random.default_rng(0)
CONTEXT = RNG.integers(0, CONTEXTS, ROWS)
CHANCES = RNG.dirichlet(np.ones(ACTIONS), CONTEXTS)
ACTION = np.array([RNG.choice(ACTIONS, p=CHANCES[c]) for c in CONTEXT], np.int32)
DATA = Example(np.eye(CONTEXTS, dtype=np.float32)[CONTEXT], ACTION)
RECIPE = BehaviourCloningRecipe(num_actions=ACTIONS, total_steps=600)


def least_loss() -> float:
    """The entropy of an action given its context, by counting: no policy's mean loss is less."""
    counts = np.zeros((CONTEXTS, ACTIONS))
    np.add.at(counts, (CONTEXT, ACTION), 1)
    shares = counts / np.repeat(counts.sum(axis=1), ACTIONS).reshape(CONTEXTS, ACTIONS)
    return float(-(counts * np.log(np.where(counts > 0, shares, 1))).sum() / ROWS)


def fitted(path, total_steps=600, **more):
    return rtg.fit(
        RECIPE, data=DATA, seeds=8, total_steps=total_steps, run_dir=path, quiet=True, **more
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("cloning") / "whole"
    return fitted(path), path


def arrays(path):
    newest = checkpoint.latest(path / "checkpoints")
    assert newest is not None
    return (newest / "arrays.safetensors").read_bytes()


def test_it_ends_at_the_frequencies_of_the_data(whole):
    result, path = whole
    assert result.evaluation.figure == "held-out loss" and "updates each" in str(result)
    for loss in result.evaluation.means:
        assert least_loss() < loss < least_loss() + 0.02
    rows = read_rows(path / "metrics.jsonl")
    assert rows[-1]["time/total_updates"] == 600 and "time/total_timesteps" not in rows[-1]
    assert json.loads((path / "settings.json").read_text())["unit"] == "updates"


def test_seeds_draw_apart(whole):
    assert len(set(whole[0].evaluation.means)) == 8


def test_killed_and_resumed_it_ends_with_the_same_bits(whole, tmp_path, monkeypatch):
    """As by a kill after a save: nothing was closed, rows stand beyond the checkpoint."""
    monkeypatch.setattr("rewardtogo.runs.writer.SAVING_SHARE", 1e9)  # save at every report
    write, count = RunWriter.write, []

    def killed(self, *args):
        write(self, *args)
        count.append(None)
        if len(count) == 23:
            raise RuntimeError("killed")

    monkeypatch.setattr(RunWriter, "write", killed)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(tmp_path / "run")
    monkeypatch.setattr(RunWriter, "write", write)
    fitted(tmp_path / "run", resume=True)
    assert arrays(tmp_path / "run") == arrays(whole[1])
    plain = lambda path: [
        {k: v for k, v in row.items() if k not in ("time/time_elapsed", "time/fps")}
        for row in read_rows(path / "metrics.jsonl")
    ]
    assert plain(tmp_path / "run") == plain(whole[1])


def test_it_goes_on_with_the_same_data_only(whole):
    other = Example(DATA.observation, (DATA.action + 1) % ACTIONS)
    with pytest.raises(ValueError, match="holds a run of data"):
        rtg.fit(RECIPE, data=other, seeds=8, run_dir=whole[1], resume=True, total_steps=700)


def test_data_are_an_argument_of_the_program_and_in_no_checkpoint(whole):
    """One copy, without an axis of seeds, whatever the number of seeds."""
    size = DATA.observation.nbytes
    assert len(arrays(whole[1])) < size
    (phase,) = RECIPE.phases(None, rtg.Shared(jax.tree.map(jnp.asarray, DATA)))
    (value,) = SharedArrays(phase.loop).at(0)
    assert value.observation.shape == DATA.observation.shape


def test_without_data_or_with_an_environments_recipe_it_is_one_line():
    with pytest.raises(ValueError, match="give `data`"):
        rtg.fit(RECIPE, run_dir=None, quiet=True)
    with pytest.raises(ValueError, match="gathers its own experience"):
        rtg.fit("ppo", "CartPole-v1", data=DATA, quiet=True)
    with pytest.raises(ValueError, match="must hold arrays"):
        rtg.fit(RECIPE, data="rows.csv", quiet=True)


def test_slabs_give_every_row_in_its_turn():
    """Held against plain indexing, across the end; and a chunk is cut where slabs change."""
    data = {"x": np.arange(10)}
    each = slabs(data, rows=4, period=3)
    for index in range(20):
        expected = (np.arange(4) + 4 * (index // 3)) % 10
        assert np.array_equal(each.at(index)["x"], expected)
    (phase,) = RECIPE.phases(None, slabs(DATA, rows=200, period=5))
    assert SharedArrays(phase.loop).stretches(3, 12) == [(3, 5), (5, 10), (10, 12)]


def test_slabs_learn_as_the_whole_does(tmp_path):
    """A map of a file, a third of it on the device at a time."""
    maps = []
    for name, array in zip(("observation", "action"), DATA, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    source = slabs(Example(*maps), rows=200, period=2)
    found = rtg.fit(RECIPE, data=source, seeds=2, run_dir=tmp_path / "run", quiet=True)
    for loss in found.evaluation.means:
        assert loss < least_loss() + 0.1


def test_the_update_is_the_gradient_of_the_likelihood(x64):
    """Adam's first moment after one step is (1 − 0.9) times ∂/∂logits = softmax − one-hot."""
    (phase,) = RECIPE.phases(None, rtg.Shared(jax.tree.map(jnp.asarray, DATA)))
    learner = BehaviourCloning()
    state = learner.init(phase.loop.models(jr.key(0)))
    batch = Example(jnp.asarray(DATA.observation[:5]), jnp.asarray(DATA.action[:5]))
    policy: Any = state.model
    chances = np.asarray(jax.nn.softmax(policy(batch.observation, ())[0].logits))
    after, _ = learner.update(state, batch, key=jr.key(0))
    error = (chances - np.eye(ACTIONS)[ACTION[:5]]) / 5
    bias = [
        x for x in jax.tree.leaves(optax.tree.get(after.opt_state, "mu")) if x.shape == (ACTIONS,)
    ]
    assert np.allclose(bias[0], 0.1 * error.sum(axis=0), atol=1e-7)
