"""The probe of a policy whose memory is a cache: what `unroll` must be, and what PPO learns."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.two_symbols import (
    START,
    SYMBOLS,
    TwoSymbols,
    expected_reward,
    loop,
    transformer,
)

import rewardtogo as rtg
from rewardtogo.types import StartRecord


LENGTH, TIME, ENVS = 4, 9, 3


@pytest.fixture
def model(x64):
    return transformer(LENGTH, 5, key=jr.key(0), dtype=jnp.float64)


def stepped(model, observation, boundary, carry):
    """Logits, values, and the value of each next observation, one step after the other."""
    initial, rows = model.initial_carry(), []
    for time in range(len(boundary)):
        distribution, value, after = model(observation[time], carry)
        rows.append((distribution.logits, value, after))
        ended = boundary[time]
        pick = lambda new, old, e=ended: jnp.where(e.reshape(-1, *[1] * (old.ndim - 1)), new, old)
        carry = jax.tree.map(pick, initial, after)
    return rows, carry


def test_all_steps_at_once_are_the_steps_one_by_one(model):
    """Across borders of episodes, and from a cache that is half full; successors too."""
    rng = np.random.default_rng(0)
    boundary = np.zeros((TIME, ENVS), bool)
    boundary[[1, 5], 0] = boundary[[0, 3, 4], 1] = boundary[[1, 4], 2] = True
    observation = jnp.asarray(rng.integers(0, SYMBOLS + 1, (TIME, ENVS)))
    begin = jax.tree.map(lambda x: jnp.broadcast_to(x, (ENVS, *x.shape)), model.initial_carry())
    _, carry = stepped(model, observation[:2], np.zeros((2, ENVS), bool), begin)
    rows, _ = stepped(model, observation, jnp.asarray(boundary), carry)
    distribution, value, after = model.unroll(observation, carry, jnp.asarray(boundary))
    assert np.allclose(distribution.logits, np.stack([r[0] for r in rows]), rtol=0, atol=1e-12)
    assert np.allclose(value, np.stack([r[1] for r in rows]), rtol=0, atol=1e-12)
    successor = jnp.asarray(rng.integers(0, SYMBOLS + 1, (TIME, ENVS)))
    expected = np.stack([model(successor[t], rows[t][2])[1] for t in range(TIME)])
    room = np.stack([np.asarray(r[2].length) < LENGTH for r in rows])  # a whole sentence has none
    found = np.asarray(model.next_values(successor, after))
    assert room.sum() > 10 and np.allclose(found[room], expected[room], rtol=0, atol=1e-12)


def test_a_cache_is_kept_where_a_rollout_begins_and_nowhere_else():
    env = TwoSymbols(LENGTH, jnp.arange(16.0))
    source = loop(env, num_envs=ENVS).source
    learner: Any = loop(env).learner
    state = learner.init(transformer(LENGTH, 5, key=jr.key(0)))
    behaviour = learner.behaviour(state)
    collector = source.collector.init(behaviour, key=jr.key(1))
    _, rollout = source.collector.gather(collector, behaviour, key=jr.key(2))
    assert isinstance(rollout.record, StartRecord) and rollout.record.step.carry == ()
    assert rollout.record.start.key.shape == (1, ENVS, LENGTH, 5)
    assert np.all(rollout.observation[0] == START)


def test_a_large_memory_without_its_start_is_refused():
    env = TwoSymbols(LENGTH, jnp.arange(16.0))
    whole = loop(env)
    bare = rtg.Source(rtg.Rollout(env, 4, LENGTH), rtg.Latest())
    wrong = rtg.Loop(whole.learner, bare, whole.models)
    program = rtg.build_program(wrong, keys=jr.split(jr.key(0), 1))
    with pytest.raises(ValueError, match="gather with `record_start`"):
        program.chunk(program.init(), 0, 1, 100)


def test_it_learns_the_best_sentence():
    """Three seeds, to within half a percent of what enumeration says is best."""
    env = TwoSymbols(LENGTH, jr.uniform(jr.key(7), (16,)))
    program = rtg.build_program(loop(env), keys=jr.split(jr.key(0), 3))
    *_, last = rtg.train(program, total_steps=60_000, report_every=60_000)
    models = last.state.learner.trainable.model
    found = [
        float(expected_reward(jax.tree.map(lambda x, i=i: x[i], models), env)) for i in range(3)
    ]
    best = float(env.reward.max())
    assert min(found) > 0.995 * best and float(env.reward.mean()) < 0.7 * best
