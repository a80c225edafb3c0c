import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.algorithms.protocol import AbstractErrorLearner
from rewardtogo.algorithms.sac import SAC
from rewardtogo.sources.buffers.prioritised import Chance, PrioritisedReplay, importance_weights
from rewardtogo.sources.buffers.replay import Replay
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.protocol import Source
from rewardtogo.training.loop import Loop
from rewardtogo.types import Transition
from sources.toys import Counting, Walk


NUM_ENVS, NUM_STEPS, GATHERS = 2, 3, 25
SIZE = NUM_ENVS * NUM_STEPS
CAPACITY = GATHERS * SIZE
ALPHA, OFFSET, BETA = 0.7, 0.01, 0.4


def prioritised(batch_size=8, num_updates=5, num_return_steps=1, **changes: Any):
    replay = Replay(CAPACITY, batch_size, num_updates, num_return_steps, 0.9)
    settings: dict[str, Any] = {
        "priority_exponent": ALPHA,
        "priority_offset": OFFSET,
        "importance_exponent": BETA,
        "importance_updates": 20,
        "warmup_gathers": 1,
        **changes,
    }
    return PrioritisedReplay(replay, **settings)


def sourced(buffer):
    return Source(Rollout(Walk(), NUM_ENVS, NUM_STEPS), buffer)


def numbered(index):
    """What gather `index` brings: each step is known by its number; no episode ends."""
    number = jnp.asarray(index * SIZE + np.arange(SIZE).reshape(NUM_STEPS, NUM_ENVS))
    never = jnp.zeros(number.shape, bool)
    reward = jnp.asarray(number, float)
    return Transition(number[..., None], number, reward, number[..., None], never, never)


def filled(source, gathers):
    memory = source.init(numbered(0))
    for index in range(gathers):
        memory = source.add(memory, numbered(index), index=jnp.array(index))
    return memory


def with_errors(source, memory, errors):
    """The memory once every step of the ring was learned from, step i with error i."""
    place = jnp.arange(len(errors))
    priorities = source.learned(memory.changing, place, jnp.asarray(errors))
    return eqx.tree_at(lambda m: m.changing, memory, priorities)


@pytest.fixture
def learned(x64):
    """A full ring whose errors are known, its priorities by the formula, and its source."""
    source = prioritised()
    errors = np.random.default_rng(0).normal(size=CAPACITY) ** 3
    memory = with_errors(source, filled(source, GATHERS), errors)
    return source, memory, (np.abs(errors) + OFFSET) ** ALPHA


LAST = jnp.array(GATHERS - 1)


def test_priorities_are_those_of_the_last_errors(learned):
    source, memory, expected = learned
    assert np.allclose(memory.changing.tree.weight[:CAPACITY], expected, rtol=1e-12)
    assert np.isclose(memory.changing.greatest, max(1.0, expected.max()), rtol=1e-12)
    place, errors = jnp.array([3, 9, 3, 0]), jnp.array([5.0, -30.0, 5.0, 0.0])
    after = source.learned(memory.changing, place, errors)
    expected[[3, 9, 0]] = (np.array([5.0, 30.0, 0.0]) + OFFSET) ** ALPHA
    assert np.allclose(after.tree.weight[:CAPACITY], expected, rtol=1e-12)
    assert np.isclose(after.greatest, (30 + OFFSET) ** ALPHA, rtol=1e-12)
    smaller = source.learned(after, place, 0 * errors)
    assert smaller.greatest == after.greatest


@pytest.mark.parametrize("gathers", [1, 24, 25, 27])
def test_new_steps_have_the_greatest_priority_and_empty_places_none(x64, gathers):
    """1 at first; what is overwritten loses its own priority, what is not keeps it."""
    source = prioritised()
    weight = np.asarray(filled(source, gathers).changing.tree.weight)
    stored = min(gathers, GATHERS) * SIZE
    assert np.all(weight[:stored] == 1) and not np.any(weight[stored:])
    memory = filled(source, gathers)
    memory = with_errors(source, memory, np.linspace(0.1, 7.0, stored))
    before = np.asarray(memory.changing.tree.weight)
    memory = source.add(memory, numbered(gathers), index=jnp.array(gathers))
    weight = np.asarray(memory.changing.tree.weight)
    new = gathers % GATHERS * SIZE + np.arange(SIZE)
    old = np.setdiff1d(np.arange(stored), new)
    assert np.allclose(weight[new], (7.0 + OFFSET) ** ALPHA, rtol=1e-12)
    assert np.array_equal(weight[old], before[old])
    assert np.array_equal(memory.held.steps.action.ravel()[new], gathers * SIZE + np.arange(SIZE))


def test_each_step_of_a_minibatch_is_of_its_own_part_of_the_sum(learned):
    """On a grid of coarse numbers, the same for all parts: blocks of 64 as by NumPy's search."""
    source, memory, priority = learned
    total, blocks = priority.sum(), []
    draw = jax.jit(lambda c: source.draw(memory, Chance(c, jnp.full(8, 0.3)), index=LAST))
    for u in (np.arange(200) + 0.5) / 200:
        batch, place = draw(jnp.full(8, u))
        target = (np.arange(8) + u) / 8 * total
        expected = np.searchsorted(np.cumsum(priority), target, "right") // 64
        assert np.array_equal(place // 64, expected)
        assert np.array_equal(batch.action, memory.held.steps.action.ravel()[place])
        blocks.append(expected)
    share = np.bincount(np.ravel(blocks)) / (8 * 200)
    sums = np.add.reduceat(priority, np.arange(0, CAPACITY, 64))
    assert np.allclose(share, sums / total, atol=2 / (8 * 200))


def test_draws_by_random_numbers_have_these_frequencies(learned):
    """A chi-square test; and two gathers draw apart."""
    source, memory, priority = learned
    source = dataclasses.replace(source, replay=prioritised(8, 500).replay)

    def drawn(key):
        chances = source.plan(memory, numbered(0), index=LAST, key=key)
        return jax.lax.map(lambda c: source.draw(memory, c, index=LAST)[1], chances)

    places = jax.jit(drawn)(jr.key(3))
    counts = np.bincount(places.ravel(), minlength=CAPACITY)
    expected = priority / priority.sum() * counts.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
    assert len(np.unique(places, axis=0)) > 100
    assert not np.array_equal(places, jax.jit(drawn)(jr.key(4)))


@pytest.mark.parametrize(("index", "beta"), [(1, 0.4), (2, 0.55), (4, 0.85), (5, 1.0), (99, 1.0)])
def test_weights_are_those_of_the_formula(learned, index, beta):
    """One gather is warm-up and five updates make an iteration, of 20 until β is 1."""
    source, memory, priority = learned
    assert np.isclose(source.exponent(jnp.array(index)), beta, rtol=1e-6)
    chance = Chance(*jr.uniform(jr.key(0), (2, 8)))
    batch, place = source.draw(memory, chance, index=jnp.array(index))
    stored = min(index + 1, GATHERS) * SIZE
    weight = (stored * priority[place] / priority.sum()) ** -beta
    assert len(set(weight)) > 3
    assert np.allclose(batch.record.weight, weight / weight.max(), rtol=1e-6)


def test_fully_weighted_draws_estimate_the_uniform_mean(learned):
    """At β = 1: Σ P(i) w(i) δ(i) is the mean of δ, by enumeration; at β < 1 it is not."""
    _, _, priority = learned
    chance = jnp.asarray(priority / priority.sum())
    error = priority ** (1 / ALPHA) - OFFSET

    def mean(beta):
        exponent = jnp.asarray(beta)
        weight = importance_weights(chance, jnp.array(CAPACITY), exponent=exponent)
        return np.sum(chance * weight * error)

    assert np.isclose(mean(1.0), error.mean(), rtol=1e-12)
    assert mean(0.5) > 1.1 * error.mean()


def test_exponent_zero_is_uniform(x64):
    source = prioritised(priority_exponent=0.0)
    memory = with_errors(source, filled(source, GATHERS), np.arange(1.0, CAPACITY + 1))
    assert np.array_equal(memory.changing.tree.weight[:CAPACITY], np.ones(CAPACITY))
    batch, _ = source.draw(memory, Chance(*jr.uniform(jr.key(0), (2, 8))), index=LAST)
    assert np.array_equal(batch.record.weight, np.ones(8))


@pytest.mark.parametrize("gathers", [1, 2, 3])
def test_an_empty_place_is_never_drawn(gathers):
    """In float32, by numbers up to the last below 1."""
    source = prioritised()
    errors = np.random.default_rng(gathers).random(gathers * SIZE) ** 4
    memory = with_errors(source, filled(source, gathers), jnp.asarray(errors, jnp.float32))
    for u in (0.0, 0.5, 1 - 2**-24):
        chance = Chance(jnp.full(8, u), jnp.full(8, 1 - 2**-24))
        _, place = source.draw(memory, chance, index=jnp.array(gathers - 1))
        assert np.all(np.asarray(place) < gathers * SIZE)


def test_returns_of_several_steps_are_cut_at_the_newest_step(x64):
    """27 gathers in a ring of 25: rows 0 to 5 are newer than those after them."""
    source = prioritised(num_return_steps=3, batch_size=CAPACITY, priority_exponent=0.0)
    memory = filled(source, 27)
    chance = Chance(jnp.full(CAPACITY, 0.5), jnp.asarray(np.arange(CAPACITY) % 64 / 64 + 0.001))
    batch, place = source.draw(memory, chance, index=jnp.array(26))
    assert set(np.arange(2 * SIZE + 2)) | set(np.arange(60)) <= set(place.tolist())
    columns = (batch.action, batch.reward, batch.record.discount)
    for number, reward, power in zip(*map(np.asarray, columns), strict=True):
        left = int(27 * SIZE - 1 - number) // NUM_ENVS + 1
        m = min(3, left)
        rewards = [0.9**k * (number + k * NUM_ENVS) for k in range(m)]
        assert np.isclose(reward, sum(rewards), rtol=1e-12)
        assert np.isclose(power, 0.9**m, rtol=1e-12)


class Learnt(AbstractErrorLearner):
    """Counts the minibatches that each step of the buffer was in, and finds no error in any."""

    def init(self, models):
        return jnp.zeros(1000, jnp.int32)

    def update(self, state, batch, *, key):
        raise NotImplementedError

    def update_with_errors(self, state, batch, *, key):
        state = state + jnp.zeros_like(state).at[batch.action].set(1)
        return state, {"most": state.max() * 1.0}, jnp.zeros(batch.action.shape)

    def behaviour(self, state):
        return Counting()

    def policy(self, state):
        raise NotImplementedError


def test_each_minibatch_knows_what_the_one_before_has_taught(x64):
    """With no error left in what was seen, no step is in two of the 4 minibatches of 3."""
    source = prioritised(batch_size=3, num_updates=4, priority_exponent=1.0, priority_offset=1e-9)
    loop = Loop(Learnt(), sourced(source), lambda key: ())
    memory = filled(source, 2)
    learn = jax.jit(
        lambda key: loop.learn(jnp.zeros(1000, int), memory, numbered(1), jnp.array(1), key)
    )
    for seed in range(5):
        counts, changing, metrics = learn(jr.key(seed))
        assert 4 <= counts.sum() <= 12 and counts.max() == 1 and metrics["most"] == 1
        assert np.allclose(changing.tree.total, 12 - counts.sum(), atol=1e-7)


def test_an_algorithm_that_tells_no_errors_is_refused():
    with pytest.raises(ValueError, match="SAC tells no errors to draw past experience by"):
        Loop(SAC(), sourced(prioritised()), lambda key: ())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("priority_exponent", 1.1, r"`priority_exponent` must lie in \[0, 1\]; got 1.1"),
        ("priority_offset", 0.0, r"`priority_offset` must lie in \(0, inf\); got 0.0"),
        ("importance_exponent", -0.1, r"`importance_exponent` must lie in \[0, 1\]; got -0.1"),
        ("importance_updates", 0, "`importance_updates` must be a whole number, at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, words):
    with pytest.raises(ValueError, match=words):
        prioritised(**{name: value})
