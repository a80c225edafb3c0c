import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.nn.policies import UniformBehaviour
from rewardtogo.sources.buffers.n_step import n_step
from rewardtogo.sources.buffers.replay import Replay
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.protocol import Source, Warmup
from rewardtogo.types import Transition
from sources.toys import Walk


NUM_ENVS, NUM_STEPS = 2, 3
SIZE = NUM_ENVS * NUM_STEPS


def replay(**changes):
    settings = {"capacity": 4 * SIZE, "batch_size": 50, "num_updates": 40}
    return Replay(**(settings | changes))


def numbered(index):
    """What gather `index` brings: each step is known by its number, in every field."""
    number = index * SIZE + jnp.arange(SIZE).reshape(NUM_STEPS, NUM_ENVS)
    fields = number[..., None] + jnp.array([[[0.0, 0.25]]])
    odd = number % 2 == 1
    return Transition(fields, number, number.astype(float), -fields, odd, ~odd)


def filled(buffer, gathers):
    state = buffer.init(numbered(0))
    for index in range(gathers):
        state = buffer.add(state, numbered(index), index=jnp.array(index))
    return state


def stored(state):
    return sorted(np.asarray(state.held.steps.action).ravel().tolist())


@pytest.mark.parametrize("gathers", [4, 5, 7, 9])
def test_the_ring_holds_the_newest(gathers):
    state = filled(replay(), gathers)
    assert stored(state) == list(range((gathers - 4) * SIZE, gathers * SIZE))
    last = np.asarray(state.held.steps.action).reshape(4, NUM_STEPS, NUM_ENVS)[(gathers - 1) % 4]
    assert np.array_equal(last, numbered(gathers - 1).action)


@pytest.mark.parametrize(("capacity", "rows"), [(1, 1), (6, 1), (7, 2), (24, 4), (25, 5)])
def test_capacity_is_rounded_up_to_whole_gathers(capacity, rows):
    ring = replay(capacity=capacity).init(numbered(0)).held
    assert ring.steps.reward.shape == (rows * NUM_STEPS, NUM_ENVS)


@pytest.mark.parametrize(("warmup_steps", "gathers"), [(1, 1), (6, 1), (7, 2), (12, 2)])
def test_warm_up_is_rounded_up_to_whole_gathers(warmup_steps, gathers):
    rollout = Rollout(Walk(), NUM_ENVS, NUM_STEPS)
    warmup = Warmup(UniformBehaviour(2, 0, 1), warmup_steps)
    assert Source(rollout, replay(), warmup).warmup_gathers == gathers


def draws(source, gathers):
    last = jnp.array(gathers - 1)
    state = filled(source, gathers)
    return source.plan(state, numbered(gathers - 1), index=last, key=jr.key(3))


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


def test_records_are_not_kept():
    """Explorer and policy may write down different things; the buffer keeps neither."""
    gathered = dataclasses.replace(numbered(0), record=jnp.ones((NUM_STEPS, NUM_ENVS)))
    buffer = replay()
    state = buffer.add(buffer.init(gathered), gathered, index=jnp.array(0))
    assert state.held.steps.record == ()
    for name in ("observation", "action", "reward", "next_observation", "terminated", "truncated"):
        kept = getattr(state.held.steps, name)[:NUM_STEPS]
        assert np.array_equal(kept, getattr(gathered, name))


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
    for name in ("capacity", "batch_size", "num_updates", "num_return_steps"):
        with pytest.raises(ValueError, match=f"`{name}` must be a whole number, at least 1; got 0"):
            replay(**{name: 0})


def test_a_return_does_not_run_into_the_episodes_of_a_resumed_run():
    """On the host new episodes begin: the newest steps of every seed are marked as cut."""
    buffer = replay(num_return_steps=3)
    state = jax.tree.map(lambda x: np.stack([x, x]), filled(buffer, 6))
    never = np.zeros_like(state.held.steps.truncated)
    state = eqx.tree_at(lambda s: s.held.steps.truncated, state, never)
    before = state.held.steps
    after = buffer.interrupted(state, np.full(2, 6 * SIZE, np.int32)).held.steps
    newest = 2 * NUM_STEPS - 1
    assert np.all(after.truncated[:, newest] ^ before.terminated[:, newest])
    assert not np.any(np.delete(after.truncated, newest, axis=1))
    assert np.array_equal(after.terminated, before.terminated)


def test_returns_of_several_steps_are_those_of_the_ring():
    """`n_step` at the places drawn, with this source's settings; one step is the plain draw."""
    source = replay(num_return_steps=2, discount=0.5)
    state, newest = filled(source, 5), NUM_STEPS - 1
    never = jnp.zeros(state.held.steps.truncated.shape, bool)
    state = eqx.tree_at(lambda s: s.held.steps.truncated, state, never)
    plain, several = (
        each.plan(state, numbered(4), index=jnp.array(4), key=jr.key(3))
        for each in (replay(), source)
    )
    assert np.array_equal(plain.action, several.action) and plain.record == ()
    assert np.any(several.reward != plain.reward)
    row = (plain.action // NUM_ENVS) % (4 * NUM_STEPS)
    place = (row, plain.action % NUM_ENVS)
    expected = n_step(state.held.steps, *place, newest=jnp.array(newest), num_steps=2, discount=0.5)
    for ours, theirs in zip(jax.tree.leaves(several), jax.tree.leaves(expected), strict=True):
        assert np.allclose(ours, theirs)
