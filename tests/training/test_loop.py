import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.protocol import AbstractAlgorithm
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.buffers.replay import Replay
from rewardtogo.sources.collectors.episodes import Episodes
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.protocol import Source, Warmup
from rewardtogo.training.loop import Loop, add_totals, no_totals
from sources.toys import Counting, Walk


NUM_ENVS, NUM_STEPS, UPDATES = 2, 3, 5
SIZE = NUM_ENVS * NUM_STEPS
KEY = jr.key(4)


class Counter(AbstractAlgorithm):
    """Counts its updates, and reports the count and the batch's sum of rewards."""

    def init(self, models):
        return jnp.zeros(())

    def update(self, state, batch, *, key):
        draw = jr.uniform(key)
        return state + 1, {"count": state, "reward": batch.reward.sum(), "draw": draw}

    def behaviour(self, state):
        return Counting()

    def policy(self, state):
        raise NotImplementedError


class RightWalk(Counting):
    """An explorer that is known by its one action."""

    def act(self, observation, memory, *, key):
        _, record, memory = super().act(observation, memory, key=key)
        return jnp.ones(observation.shape[:-1], jnp.int32), record, memory


ROLLOUT = Source(Rollout(Walk(), NUM_ENVS, NUM_STEPS), Latest())
REPLAY = Source(
    ROLLOUT.collector,
    Replay(4 * SIZE, batch_size=2, num_updates=UPDATES),
    Warmup(RightWalk(), SIZE + 1),
)


@pytest.fixture(scope="module")
def loop():
    return Loop(Counter(), REPLAY, lambda key: ())


@pytest.fixture(scope="module")
def started(loop):
    return jax.jit(loop.init)(KEY)


@pytest.mark.parametrize(
    ("total_steps", "gathers"), [(1, 0), (SIZE, 0), (2 * SIZE, 0), (2 * SIZE + 1, 1), (31, 4)]
)
def test_the_warm_up_counts_among_the_steps(total_steps, gathers):
    """Two gathers of six are warm-up; what is left is rounded up."""
    assert REPLAY.warmup_gathers == 2
    assert REPLAY.num_iterations(total_steps) == gathers


@pytest.mark.parametrize(("total_steps", "gathers"), [(1, 1), (6, 1), (7, 2)])
def test_without_warm_up(total_steps, gathers):
    assert ROLLOUT.warmup_gathers == 0 and ROLLOUT.num_iterations(total_steps) == gathers


def test_episodes_cannot_be_counted_ahead():
    assert Source(Episodes(Walk(), 2, 5), Latest()).num_iterations(100) is None


def test_the_explorer_fills_the_buffer_first(started):
    """Two gathers of its actions, the rest empty, and no update yet."""
    action = np.asarray(started.buffer.held.steps.action)
    assert action.shape == (4 * NUM_STEPS, NUM_ENVS)
    assert np.all(action[: 2 * NUM_STEPS] == 1) and not np.any(action[2 * NUM_STEPS :])
    assert started.collector.progress == 2 * SIZE and started.learner == 0


def test_an_iteration_gathers_adds_and_updates(loop, started):
    """The buffer's next rows, so many updates, and their metrics' means."""
    iterate = jax.jit(loop.iterate)
    state, metrics = iterate(started, jnp.array(2), KEY)
    rows = np.asarray(state.buffer.held.steps.observation)[2 * NUM_STEPS : 3 * NUM_STEPS]
    assert np.array_equal(rows[0], started.collector.observation)
    assert state.learner == UPDATES
    assert metrics["count"] == np.mean(range(UPDATES))
    assert state.collector.progress == 3 * SIZE
    _, other = iterate(started, jnp.array(3), KEY)
    assert metrics["draw"] != other["draw"]


def test_no_two_draws_share_a_key(loop):
    """Acting, batches and updates, over gathers; and none is the seed's own key."""
    keys = [KEY, *itertools.chain(*(loop.keys(KEY, jnp.array(index)) for index in range(4)))]
    data = [tuple(np.asarray(jr.key_data(k))) for k in keys]
    data += [tuple(np.asarray(jr.key_data(jr.fold_in(KEY, 2**32 - n)))) for n in (1, 2)]
    assert len(set(data)) == 1 + 3 * 4 + 2


def test_totals_are_sums_and_the_first_bad_iteration():
    rows = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": np.nan}, {"a": np.inf, "b": 4.0}]
    totals = no_totals({"a": jnp.zeros(()), "b": jnp.zeros(())})
    for index, row in enumerate(rows):
        row = {name: jnp.array(value) for name, value in row.items()}
        totals = add_totals(totals, row, jnp.array(10 + index))
    assert totals.iterations == 3 and totals.bad_iteration == 11
    assert np.isinf(totals.metrics["a"]) and np.isnan(totals.metrics["b"])
    fine = add_totals(no_totals({"a": jnp.zeros(())}), {"a": jnp.array(5.0)}, jnp.array(3))
    assert fine.metrics["a"] == 5 and fine.bad_iteration == -1
