import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.sources.collectors.episodes import Episodes
from rewardtogo.sources.fault import FIELDS
from sources.toys import Counting, Walk, stepped_by_hand


NUM_EPISODES, MAX_STEPS, KEY = 8, 5, jr.key(2)


def gathered(env, gathers=1):
    source = Episodes(env, NUM_EPISODES, MAX_STEPS)
    state = source.init(Counting(), key=KEY)
    gather = eqx.filter_jit(lambda state, key: source.gather(state, Counting(), key=key))
    batches = []
    for index in range(gathers):
        state, batch = gather(state, jr.fold_in(KEY, index))
        batches.append(batch)
    return state, jax.tree.map(np.asarray, batches)


@pytest.fixture(scope="module")
def run():
    """Episodes that would end by themselves after 6 steps at the latest, cut after 5."""
    return gathered(Walk(max_steps=6), gathers=2)


@pytest.mark.parametrize("index", [0, 1])
def test_each_column_is_one_episode_of_its_own(run, index):
    """By hand until the first border: the mask, every field, the key of the reset."""
    batch = run[1][index]
    for column, env_key in enumerate(jr.split(KEY, NUM_EPISODES)):
        length = int(batch.mask[:, column].sum())
        assert np.array_equal(batch.mask[:, column], np.arange(MAX_STEPS) < length)
        step = jax.tree.map(lambda x, n=length, c=column: x[:n, c], batch.transition)
        rows = stepped_by_hand(Walk(max_steps=6), env_key[None], step.action[:, None], first=index)
        rows = [row[:, 0] for row in rows]
        observation, reward, next_observation, terminated, truncated, since = rows
        assert np.allclose(step.observation, observation, atol=1e-6)
        assert np.allclose(step.reward, reward, atol=1e-6)
        assert np.allclose(step.next_observation, next_observation, atol=1e-6)
        assert np.array_equal(step.terminated, terminated)
        assert not truncated.any() and np.array_equal(step.record[0], 10 + since)
        # Only the last step is a border, and it is truncated exactly where the limit cut it.
        assert np.array_equal(step.boundary, np.arange(length) == length - 1)
        assert step.truncated[-1] == (length == MAX_STEPS and not terminated[-1])


def test_both_ends_are_met(run):
    last = [b.transition.boundary & b.mask for b in run[1]]
    terminated = sum((b.transition.terminated & e).sum() for b, e in zip(run[1], last, strict=True))
    assert 0 < terminated < 2 * NUM_EPISODES
    assert sum(e.sum() for e in last) == 2 * NUM_EPISODES


def test_steps_counted_are_those_in_the_mask(run):
    state, batches = run
    assert state.progress == sum(b.mask.sum() for b in batches) < 2 * NUM_EPISODES * MAX_STEPS


def test_tally_is_the_sum_over_the_mask(run):
    state, batches = run
    rewards = [np.where(b.mask, b.transition.reward, np.inf) for b in batches]
    returns = sum(np.where(np.isfinite(r), r, 0).sum(axis=0) for r in rewards)
    assert np.allclose(state.statistics.finished_return, returns, rtol=1e-6)
    assert np.array_equal(
        state.statistics.finished_length, sum(b.mask.sum(axis=0) for b in batches)
    )
    assert np.array_equal(state.statistics.finished, np.full(NUM_EPISODES, 2))
    assert not state.statistics.episode_return.any() and not state.statistics.episode_length.any()


def test_no_reward_after_the_end(run):
    for batch in run[1]:
        assert not batch.transition.reward[~batch.mask].any()


def test_what_follows_the_end_is_no_fault():
    """An environment may give anything after termination; a fault within the mask is found."""
    state, (batch,) = gathered(Walk(max_steps=6, broken="after the end"))
    assert np.isnan(batch.transition.next_observation[~batch.mask]).any()
    assert state.fault.step == -1
    state, (batch,) = gathered(Walk(max_steps=6, broken="reward"))
    time, episode = np.argwhere(np.isnan(batch.transition.reward) & batch.mask)[0]
    assert (state.fault.step, state.fault.env) == (time, episode)
    assert FIELDS[int(state.fault.field)] == "reward"


def test_a_limit_of_the_environment_truncates_too():
    _, (batch,) = gathered(Walk(max_steps=3))
    ends = batch.transition.boundary & batch.mask
    assert np.array_equal(ends.sum(axis=0), np.ones(NUM_EPISODES))
    assert batch.mask.sum(axis=0).max() == 3
    long = batch.mask.sum(axis=0) == 3
    assert np.array_equal(batch.transition.truncated[2, long], np.ones(long.sum(), bool))


@pytest.mark.parametrize("field", ["num_episodes", "max_steps"])
def test_counts_are_checked(field):
    with pytest.raises(ValueError, match=f"`{field}` must be a whole number, at least 1; got 0"):
        Episodes(Walk(), **({"num_episodes": 1, "max_steps": 1} | {field: 0}))
