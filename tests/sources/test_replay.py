import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.nn.policies import UniformBehaviour
from rewardtogo.sources.host import HostRollout
from rewardtogo.sources.n_step import n_step
from rewardtogo.sources.replay import Replay
from rewardtogo.sources.rollout import Rollout
from rewardtogo.training.host import CompiledBehaviour
from rewardtogo.types import Transition
from sources.as_gym import pool_of
from sources.toys import Counting, Walk


NUM_ENVS, NUM_STEPS = 2, 3
SIZE = NUM_ENVS * NUM_STEPS


def replay(**changes):
    settings = {"capacity": 4 * SIZE, "batch_size": 50, "num_updates": 40, "warmup_steps": 1}
    source = Rollout(Walk(), NUM_ENVS, NUM_STEPS)
    return Replay(source, UniformBehaviour(2, 0, 1), **(settings | changes))


def numbered(index):
    """What gather `index` brings: each step is known by its number, in every field."""
    number = index * SIZE + jnp.arange(SIZE).reshape(NUM_STEPS, NUM_ENVS)
    fields = number[..., None] + jnp.array([[[0.0, 0.25]]])
    odd = number % 2 == 1
    return Transition(fields, number, number.astype(float), -fields, odd, ~odd)


def filled(source, gathers):
    memory = source.empty_memory(numbered(0))
    for index in range(gathers):
        memory = source.absorb(memory, numbered(index), index=jnp.array(index))
    return memory


def stored(memory):
    return sorted(np.asarray(memory.action).ravel().tolist())


@pytest.mark.parametrize("gathers", [4, 5, 7, 9])
def test_the_ring_holds_the_newest(gathers):
    memory = filled(replay(), gathers)
    assert stored(memory) == list(range((gathers - 4) * SIZE, gathers * SIZE))
    last = np.asarray(memory.action).reshape(4, NUM_STEPS, NUM_ENVS)[(gathers - 1) % 4]
    assert np.array_equal(last, numbered(gathers - 1).action)


@pytest.mark.parametrize(("capacity", "rows"), [(1, 1), (6, 1), (7, 2), (24, 4), (25, 5)])
def test_capacity_is_rounded_up_to_whole_gathers(capacity, rows):
    memory = replay(capacity=capacity).empty_memory(numbered(0))
    assert memory.reward.shape == (rows * NUM_STEPS, NUM_ENVS)


@pytest.mark.parametrize(("warmup_steps", "gathers"), [(1, 1), (6, 1), (7, 2), (12, 2)])
def test_warm_up_is_rounded_up_to_whole_gathers(warmup_steps, gathers):
    assert replay(warmup_steps=warmup_steps).warmup[1] == gathers


def draws(source, gathers):
    last = jnp.array(gathers - 1)
    memory = filled(source, gathers)
    return source.batches(memory, numbered(gathers - 1), index=last, key=jr.key(3))


@pytest.mark.parametrize("gathers", [1, 3, 4, 6])
def test_draws_are_uniform_over_what_is_filled(gathers):
    """Nothing unfilled, nothing overwritten; a chi-square test on 2000 draws."""
    batch = draws(replay(), gathers)
    first = max(gathers - 4, 0) * SIZE
    counts = np.bincount(batch.action.ravel() - first, minlength=min(gathers, 4) * SIZE)
    assert counts.size == min(gathers, 4) * SIZE and counts.sum() == 2000
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_the_fields_of_a_draw_belong_together():
    batch = draws(replay(), 5)
    assert batch.action.shape == (40, 50)
    assert np.array_equal(batch.reward, batch.action)
    assert np.array_equal(batch.observation[..., 0], batch.action)
    assert np.array_equal(batch.observation[..., 1], batch.action + 0.25)
    assert np.array_equal(batch.next_observation, -batch.observation)
    assert np.array_equal(batch.terminated, batch.action % 2 == 1)
    assert np.array_equal(batch.truncated, ~batch.terminated)


def test_each_update_has_a_draw_of_its_own():
    """Neighbouring minibatches agree no more often than chance allows."""
    action = draws(replay(), 4).action
    assert 0 < np.mean(action[1:] == action[:-1]) < 3 / (4 * SIZE)
    assert len(np.unique(action, axis=0)) == len(action)


def test_a_gather_is_the_collectors_without_its_record(key):
    """Explorer and policy may write down different things; the buffer keeps neither."""
    source = replay()
    state = source.init(Counting(), key=key)
    _, ours = eqx.filter_jit(source.gather)(state, Counting(), key=key)
    _, theirs = eqx.filter_jit(source.collector.gather)(state, Counting(), key=key)
    assert ours.record == () and theirs.record != ()
    for name in ("observation", "action", "reward", "next_observation", "terminated", "truncated"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_explorer_is_uniform_whatever_it_sees(key):
    """Discrete actions by chi-square, continuous ones by Kolmogorov and Smirnov."""
    seen = jnp.zeros((3000, 2, 4))
    action, record, memory = UniformBehaviour(3, 0, 2).act(seen, (), key=key)
    assert action.shape == (3000,) and action.dtype == jnp.int32 and (record, memory) == ((), ())
    assert scipy.stats.chisquare(np.bincount(action, minlength=3)).pvalue > 1e-3
    action, _, _ = UniformBehaviour(None, 2, 1).act(seen, (), key=key)
    assert action.shape == (3000, 2, 2) and action.dtype == jnp.float32
    sample = np.asarray(action).reshape(-1, 2)
    assert scipy.stats.kstest(sample[:, 0], "uniform", (-1, 2)).pvalue > 1e-3
    assert abs(np.corrcoef(sample.T)[0, 1]) < 0.05


def test_impossible_sizes_are_refused():
    for name in ("capacity", "batch_size", "num_updates", "warmup_steps", "num_return_steps"):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number, at least 1; got 0"):
            replay(**{name: 0})
    with pytest.raises(ValueError, match=r"`warmup_steps` \(25\) exceeds `capacity` \(24\)"):
        replay(warmup_steps=25)


def test_a_return_does_not_run_into_the_episodes_of_a_resumed_run():
    """On the host new episodes begin: the newest steps of every seed are marked as cut."""
    pool, _ = pool_of(Walk(), jr.split(jr.key(0), 2 * NUM_ENVS))
    collector = HostRollout(lambda: pool, NUM_ENVS, NUM_STEPS, num_seeds=2)
    source = Replay(collector, UniformBehaviour(2, 0, 1), 4 * SIZE, 5, 1, SIZE, num_return_steps=3)
    memory = jax.tree.map(lambda x: np.stack([x, x]), filled(source, 6))
    memory = dataclasses.replace(memory, truncated=np.zeros_like(memory.truncated))
    acting = CompiledBehaviour(lambda _: Counting(), jnp.zeros(2), num_seeds=2)
    state = collector.init(acting, key=jr.key(0))
    state = dataclasses.replace(state, steps=np.full(2, 6 * SIZE, np.int32))
    _, after = source.resume(state, memory, acting)
    newest = 2 * NUM_STEPS - 1
    assert np.all(after.truncated[:, newest] ^ memory.terminated[:, newest])
    assert not np.any(np.delete(after.truncated, newest, axis=1))
    assert np.array_equal(after.terminated, memory.terminated)


def test_returns_of_several_steps_are_those_of_the_ring():
    """`n_step` at the places drawn, with this source's settings; one step is the plain draw."""
    source = replay(num_return_steps=2, discount=0.5)
    memory, newest = filled(source, 5), NUM_STEPS - 1
    memory = dataclasses.replace(memory, truncated=jnp.zeros(memory.truncated.shape, bool))
    plain, several = (
        each.batches(memory, numbered(4), index=jnp.array(4), key=jr.key(3))
        for each in (replay(), source)
    )
    assert np.array_equal(plain.action, several.action) and plain.record == ()
    assert np.any(several.reward != plain.reward)
    row = (plain.action // NUM_ENVS) % (4 * NUM_STEPS)
    place = (row, plain.action % NUM_ENVS)
    expected = n_step(memory, *place, newest=jnp.array(newest), num_steps=2, discount=0.5)
    for ours, theirs in zip(jax.tree.leaves(several), jax.tree.leaves(expected), strict=True):
        assert np.allclose(ours, theirs)
