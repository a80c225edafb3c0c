import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.nn.build import Architecture
from rewardtogo.nn.policies import LogProbBehaviour
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.fault import FIELDS
from rewardtogo.sources.protocol import BufferState, Source
from sources.toys import Counting, Walk, counted_by_hand, stepped_by_hand


NUM_ENVS, NUM_STEPS, GATHERS = 3, 7, 3
KEY = jr.key(5)


def gathered(env, behaviour):
    """Three rollouts in a row, joined along time, and the state after them."""
    source = Rollout(env, NUM_ENVS, NUM_STEPS)
    state = source.init(behaviour, key=KEY)
    gather = eqx.filter_jit(lambda state, key: source.gather(state, behaviour, key=key))
    rows = []
    for index in range(GATHERS):
        state, rollout = gather(state, jr.fold_in(KEY, index))
        rows.append(rollout)
    return state, jax.tree.map(lambda *xs: np.concatenate(xs), *rows)


@pytest.fixture(scope="module")
def run():
    return gathered(Walk(), Counting())


@pytest.fixture(scope="module")
def by_hand(run):
    return stepped_by_hand(Walk(), jr.split(KEY, NUM_ENVS), run[1].action)


def test_transitions_are_those_of_stepping_by_hand(run, by_hand):
    """The successor before any reset, a reset at borders only, with the key of its episode."""
    _, rollout = run
    observation, reward, next_observation, terminated, truncated, _ = by_hand
    assert rollout.terminated.any() and (rollout.truncated & ~rollout.terminated).any()
    assert np.array_equal(rollout.terminated, terminated)
    assert np.array_equal(rollout.truncated, truncated)
    assert np.allclose(rollout.observation, observation, atol=1e-6)
    assert np.allclose(rollout.reward, reward, atol=1e-6)
    assert np.allclose(rollout.next_observation, next_observation, atol=1e-6)


def test_what_comes_next_is_the_successor_or_a_fresh_start(run):
    _, rollout = run
    same = np.all(rollout.observation[1:] == rollout.next_observation[:-1], axis=-1)
    assert np.array_equal(same, ~rollout.boundary[:-1])


def test_memory_starts_anew_at_borders_and_lives_on_between_gathers(run, by_hand):
    _, rollout = run
    count, pair = rollout.record
    since = by_hand[-1]
    assert np.array_equal(count, 10 + since)
    assert np.array_equal(pair, np.stack([10 + since, 20 + 2 * since], axis=-1))


def test_each_step_acts_with_a_key_of_its_own(run):
    """Step t of a gather draws with the t-th of the gather's split keys."""
    _, rollout = run
    keys = [jr.split(jr.fold_in(KEY, index), NUM_STEPS) for index in range(GATHERS)]
    expected = [jr.randint(k, (NUM_ENVS,), 0, 2, jnp.int32) for ks in keys for k in ks]
    assert np.array_equal(rollout.action, np.stack(expected))


def test_tally_and_counters_against_a_plain_count(run):
    state, rollout = run
    expected = counted_by_hand(rollout.reward, rollout.boundary)
    tally = state.statistics
    ours = [
        tally.finished_return,
        tally.finished_length,
        tally.finished,
        tally.episode_return,
        tally.episode_length,
    ]
    assert np.allclose(np.stack(ours, axis=1), expected, rtol=1e-6)
    assert np.array_equal(state.episode, expected[:, 2])
    assert state.progress == GATHERS * NUM_ENVS * NUM_STEPS
    assert state.fault.step == -1


def test_a_drained_tally_keeps_the_episodes_under_way(run):
    tally, drained = run[0].statistics, run[0].statistics.drained()
    assert np.array_equal(drained.episode_return, tally.episode_return)
    assert np.array_equal(drained.episode_length, tally.episode_length)
    assert tally.finished.any()
    for counted in (drained.finished, drained.finished_return, drained.finished_length):
        assert not counted.any()


@pytest.mark.parametrize("broken", ["observation", "reward", "reset"])
def test_the_first_fault_is_found(broken):
    """Its environment, step and field, against a search of what was stored."""
    state, rollout = gathered(Walk(broken=broken), Counting())
    seen = rollout.observation if broken == "reset" else rollout.next_observation
    bad = ~np.isfinite(rollout.reward if broken == "reward" else seen.sum(-1))
    step, env = np.argwhere(bad)[0]
    assert step > 0 and bad.sum() > 1
    field = FIELDS.index("reward" if broken == "reward" else "observation")
    assert (state.fault.step, state.fault.env, state.fault.field) == (step, env, field)


def test_a_policy_that_acts_with_nan_is_a_fault_too():
    class Nan(Counting):
        def act(self, observation, memory, *, key):
            action, record, memory = super().act(observation, memory, key=key)
            bad = (jnp.arange(NUM_ENVS) == 1) & (memory[0] == 13)
            return jnp.where(bad, jnp.nan, action), record, memory

    state, rollout = gathered(Walk(), Nan())
    step, env = np.argwhere(~np.isfinite(rollout.action))[0]
    assert (state.fault.step, state.fault.env) == (step, env)
    assert FIELDS[int(state.fault.field)] == "action"


def test_the_record_is_the_log_probability_of_the_action(key):
    env = Walk()
    nets = Architecture(env.observation_space, env.action_space, (4,), "tanh")
    # Scaled up, for the first layer's output is close to zero.
    policy = jax.tree.map(lambda x: 3 * x, nets.actor(key, log_std=0.0))
    _, rollout = gathered(env, LogProbBehaviour(policy))
    logits = np.asarray(policy(jnp.asarray(rollout.observation), ())[0].logits, np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    taken = np.take_along_axis(chances, rollout.action[..., None], axis=-1)[..., 0]
    assert np.allclose(np.exp(rollout.record), taken, rtol=1e-4)


@pytest.mark.parametrize("field", ["num_envs", "num_steps"])
def test_counts_are_checked(field):
    with pytest.raises(ValueError, match=f"`{field}` must be a whole number, at least 1; got 0"):
        given: dict[str, Any] = {"num_envs": 1, "num_steps": 1} | {field: 0}
        Rollout(Walk(), **given)


def test_one_rollout_is_one_batch(run):
    source = Source(Rollout(Walk(), NUM_ENVS, NUM_STEPS), Latest())
    stack = Latest().plan(BufferState(()), run[1], index=jnp.array(0), key=KEY)
    assert dataclasses.replace(stack, record=()).reward.shape == (1, *run[1].reward.shape)
    assert source.collector.per_gather == NUM_ENVS * NUM_STEPS and source.warmup_gathers == 0
