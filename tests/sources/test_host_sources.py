import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.envs.block import episode_seed
from rewardtogo.sources.collectors.host import HostEpisodes, HostRollout
from rewardtogo.sources.fault import FIELDS
from rewardtogo.training.host import CompiledBehaviour
from sources.as_gym import pool_of
from sources.toys import Counting, Walk, counted_by_hand, stepped_by_hand


NUM_SEEDS, NUM_ENVS, NUM_STEPS, GATHERS = 2, 3, 7, 3
TOTAL = NUM_SEEDS * NUM_ENVS
ENV_KEYS = jr.split(jr.key(8), TOTAL)
RUN_SEED = 11


@pytest.fixture(scope="module")
def behaviour():
    return CompiledBehaviour(lambda _: Counting(), jnp.zeros(NUM_SEEDS), num_seeds=NUM_SEEDS)


def key_data(index):
    return jr.key_data(jr.split(jr.fold_in(jr.key(1), index), NUM_SEEDS))


def rollout_source(pool):
    return HostRollout(lambda: pool, NUM_ENVS, NUM_STEPS, NUM_SEEDS)


def gathered(source, state, behaviour, gathers):
    """Gathers in a row, joined along time, `[seed, time, env]`, and the state after them."""
    rows = []
    for index in range(gathers):
        state, batch = source.gather(state, behaviour, key=key_data(index))
        rows.append(batch)
    return state, jax.tree.map(lambda *xs: np.concatenate(xs, axis=1), *rows)


@pytest.fixture(scope="module")
def run(behaviour):
    pool, _ = pool_of(Walk(), ENV_KEYS)
    source = rollout_source(pool)
    return gathered(source, source.init(behaviour, key=jr.key(0)), behaviour, GATHERS)


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
def test_transitions_are_those_of_stepping_by_hand(run, seed):
    """The successor before any reset, a reset at borders only, memory anew at borders."""
    rollout = jax.tree.map(lambda x: x[seed], run[1])
    keys = ENV_KEYS[seed * NUM_ENVS : (seed + 1) * NUM_ENVS]
    rows = stepped_by_hand(Walk(), keys, rollout.action)
    observation, reward, next_observation, terminated, truncated, since = rows
    assert rollout.terminated.any() and (rollout.truncated & ~rollout.terminated).any()
    assert np.array_equal(rollout.terminated, terminated)
    assert np.array_equal(rollout.truncated, truncated)
    assert np.allclose(rollout.observation, observation, atol=1e-6)
    assert np.allclose(rollout.reward, reward, atol=1e-6)
    assert np.allclose(rollout.next_observation, next_observation, atol=1e-6)
    count, pair = rollout.record
    assert np.array_equal(count, 10 + since)
    assert np.array_equal(pair, np.stack([10 + since, 20 + 2 * since], axis=-1))


def test_each_seed_acts_with_the_keys_that_a_compiled_rollout_uses(run):
    _, rollout = run
    for index, seed in np.ndindex(GATHERS, NUM_SEEDS):
        keys = jr.split(jr.wrap_key_data(key_data(index)[seed]), NUM_STEPS)
        expected = [jr.randint(k, (NUM_ENVS,), 0, 2, jnp.int32) for k in keys]
        ours = rollout.action[seed, index * NUM_STEPS : (index + 1) * NUM_STEPS]
        assert np.array_equal(ours, np.stack(expected))


def test_tally_and_counters_against_a_plain_count(run):
    state, rollout = run
    for seed in range(NUM_SEEDS):
        expected = counted_by_hand(rollout.reward[seed], rollout.boundary[seed])
        tally = jax.tree.map(lambda x, s=seed: x[s], state.statistics)
        ours = [
            tally.finished_return,
            tally.finished_length,
            tally.finished,
            tally.episode_return,
            tally.episode_length,
        ]
        assert np.allclose(np.stack(ours, axis=1), expected, rtol=1e-6)
        assert np.array_equal(state.episode[seed], expected[:, 2])
    assert np.array_equal(state.progress, np.full(NUM_SEEDS, GATHERS * NUM_ENVS * NUM_STEPS))
    assert np.array_equal(state.fault.step, [-1, -1])


def test_the_first_fault_of_each_seed_is_found(behaviour):
    pool, _ = pool_of(Walk(broken="reward"), ENV_KEYS)
    source = rollout_source(pool)
    state, rollout = gathered(source, source.init(behaviour, key=jr.key(0)), behaviour, GATHERS)
    for seed in range(NUM_SEEDS):
        bad = np.argwhere(np.isnan(rollout.reward[seed]))
        found = (state.fault.step[seed], state.fault.env[seed])
        assert found == (tuple(bad[0]) if len(bad) else (-1, 0))
    assert FIELDS[int(state.fault.field[0])] == "reward" and np.any(state.fault.step > 0)


def test_a_source_begins_at_the_beginning_each_time(behaviour, run):
    pool, _ = pool_of(Walk(), ENV_KEYS)
    source = rollout_source(pool)
    gathered(source, source.init(behaviour, key=jr.key(0)), behaviour, 2)
    again = gathered(source, source.init(behaviour, key=jr.key(0)), behaviour, GATHERS)
    for ours, expected in zip(jax.tree.leaves(again), jax.tree.leaves(run), strict=True):
        assert np.array_equal(ours, expected)


def test_resumed_environments_begin_the_next_episodes(behaviour):
    """Counters go on where they were, episodes are new, and half-finished ones are forgotten."""
    pool, _ = pool_of(Walk(), ENV_KEYS, run_seed=RUN_SEED)
    source = rollout_source(pool)
    before, _ = gathered(source, source.init(behaviour, key=jr.key(0)), behaviour, 2)
    pool, made = pool_of(Walk(), ENV_KEYS, run_seed=RUN_SEED)
    after = rollout_source(pool).resume(before, behaviour)
    assert np.array_equal(after.episode, before.episode + 1)
    assert np.array_equal(after.progress, before.progress)
    assert np.array_equal(after.statistics.finished, before.statistics.finished)
    assert np.any(before.statistics.episode_length) and not np.any(after.statistics.episode_length)
    assert not np.any(after.statistics.episode_return)
    assert np.array_equal(after.carry[0], np.full((NUM_SEEDS, NUM_ENVS), 10))
    for env, episode in enumerate(after.episode.ravel()):
        assert made[env].seeds == [episode_seed(RUN_SEED, env, int(episode))]


@pytest.fixture(scope="module")
def episodes(behaviour):
    """Two gathers of episodes that would end after 6 steps at the latest, cut after 5."""
    pool, _ = pool_of(Walk(), ENV_KEYS, gathers=True)
    source = HostEpisodes(lambda: pool, 5, NUM_SEEDS)
    first, one = source.gather(source.init(behaviour, key=jr.key(0)), behaviour, key=key_data(0))
    second, two = source.gather(first, behaviour, key=key_data(1))
    return second, [one, two]


@pytest.mark.parametrize("index", [0, 1])
def test_each_column_is_one_episode_of_its_own(episodes, index):
    batch = episodes[1][index]
    for seed, column in np.ndindex(NUM_SEEDS, NUM_ENVS):
        mask = batch.mask[seed, :, column]
        length = int(mask.sum())
        assert batch.mask.shape[1] == 5 and np.array_equal(mask, np.arange(5) < length)
        step = jax.tree.map(lambda x, n=length, s=seed, c=column: x[s, :n, c], batch.transition)
        env_key = ENV_KEYS[seed * NUM_ENVS + column]
        rows = stepped_by_hand(Walk(), env_key[None], step.action[:, None], first=index)
        observation, reward, next_observation, terminated, truncated, since = (
            row[:, 0] for row in rows
        )
        assert np.allclose(step.observation, observation, atol=1e-6)
        assert np.allclose(step.reward, reward, atol=1e-6)
        assert np.allclose(step.next_observation, next_observation, atol=1e-6)
        assert np.array_equal(step.terminated, terminated)
        assert not truncated.any() and np.array_equal(step.record[0], 10 + since)
        assert np.array_equal(step.boundary, np.arange(length) == length - 1)
        assert step.truncated[-1] == (length == 5 and not terminated[-1])


def test_episodes_are_counted_within_the_mask(episodes):
    state, batches = episodes
    for name, counted in (
        ("finished_length", [b.mask.sum(axis=1) for b in batches]),
        ("finished_return", [b.transition.reward.sum(axis=1) for b in batches]),
    ):
        assert np.allclose(getattr(state.statistics, name), sum(counted), rtol=1e-6)
    assert np.array_equal(state.statistics.finished, np.full((NUM_SEEDS, NUM_ENVS), 2))
    assert np.array_equal(state.progress, sum(b.mask.sum(axis=(1, 2)) for b in batches))
    for batch in batches:
        assert not batch.transition.reward[~batch.mask].any()


def test_what_a_finished_episodes_successor_gives_is_no_fault(behaviour):
    """The environment goes on with another episode, which nobody sees."""
    pool, _ = pool_of(Walk(max_steps=3, broken="reset"), jr.split(jr.key(2), TOTAL))
    source = HostEpisodes(lambda: pool, 12, NUM_SEEDS)
    state, batch = source.gather(source.init(behaviour, key=jr.key(0)), behaviour, key=key_data(0))
    bad = np.isnan(batch.transition.observation.sum(-1))
    assert bad.any() and not (bad & batch.mask).any()
    assert np.array_equal(state.fault.step, [-1, -1])


def test_resumed_episodes_are_new_ones(behaviour):
    pool, made = pool_of(Walk(), ENV_KEYS, gathers=True, run_seed=RUN_SEED)
    source = HostEpisodes(lambda: pool, 5, NUM_SEEDS)
    before, _ = source.gather(source.init(behaviour, key=jr.key(0)), behaviour, key=key_data(0))
    seen = [set(env.seeds) for env in made]
    pool, made = pool_of(Walk(), ENV_KEYS, gathers=True, run_seed=RUN_SEED)
    source = HostEpisodes(lambda: pool, 5, NUM_SEEDS)
    resumed = source.resume(before, behaviour)
    after, _ = source.gather(resumed, behaviour, key=key_data(1))
    for env, episode in enumerate(before.episode.ravel()):
        assert made[env].seeds[0] == episode_seed(RUN_SEED, env, int(episode) + 1)
        assert not seen[env] & set(made[env].seeds)
    assert np.all(after.progress > before.progress)
    assert np.array_equal(after.statistics.finished, before.statistics.finished + 1)
