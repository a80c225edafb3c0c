"""Batches in part from data and in part from what was gathered."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import rewardtogo as rtg
from rewardtogo.sources.buffers.mixture import Mixture
from rewardtogo.types import Transition


def steps(low, count):
    number = jnp.arange(low, low + count, dtype=jnp.float32).reshape(-1, 2)
    never = jnp.zeros(number.shape, bool)
    return Transition(number[..., None], number, number, number[..., None], never, never)


DATA = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps(100, 50))


@pytest.fixture
def mixture():
    data = rtg.Dataset(rtg.Shared(DATA), batch_size=3, num_updates=40)
    return Mixture(data, rtg.Replay(12, batch_size=5, num_updates=40))


def test_each_batch_has_its_share_of_both(mixture):
    """The first rows are the data's, the others the ring's newest; all of each come up."""
    state = mixture.init(steps(0, 6))
    for index in range(3):
        state = mixture.add(state, steps(6 * index, 6), index=jnp.array(index))
    plans = mixture.plan(state, steps(12, 6), index=jnp.array(2), key=jr.key(0))
    seen = []
    for update in range(40):
        plan = jax.tree.map(lambda x, u=update: x[u], plans)
        batch, place = mixture.draw(state, plan, index=jnp.array(2))
        assert mixture.learned(state.changing, place, None) == ()
        assert batch.reward.shape == (8,) and np.array_equal(batch.reward, batch.action)
        seen.append(np.asarray(batch.reward))
    first, second = np.split(np.stack(seen), [3], axis=1)
    assert first.min() >= 100 and first.max() < 150 and len(np.unique(first)) > 40
    assert set(np.unique(second)) == set(range(6, 18))


def test_the_two_draw_apart(mixture):
    """By keys of their own."""
    both = Mixture(mixture.first, mixture.first)
    state = both.init(steps(0, 6))
    one, other = both.plan(state, steps(0, 6), index=jnp.array(0), key=jr.key(0))
    assert not np.array_equal(one, other)


def test_errors_belong_to_one_buffer():
    prioritised = rtg.PrioritisedReplay(rtg.Replay(12, 5, 1))
    with pytest.raises(ValueError, match="takes none that is drawn from by errors"):
        Mixture(rtg.Replay(12, 5, 1), prioritised)
