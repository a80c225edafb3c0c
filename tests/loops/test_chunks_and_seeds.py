"""What must not change a bit: where reports fall, an interruption, the other seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loops.pairs import ALGORITHMS, EVER, as_numpy, assert_same_bits, drained, prepared, run
from rewardtogo.train import train


ITERATIONS = 5


@pytest.fixture(scope="module", params=ALGORITHMS)
def problem(request, whole_runs):
    """The name, its program and source, and the state after five iterations in one chunk."""
    name = request.param
    with jax.enable_x64(True):
        yield name, *prepared(name), whole_runs(name)


@pytest.fixture(scope="module")
def whole_runs():
    def whole(name):
        if name not in found:
            found[name] = as_numpy(run(*prepared(name), 0, ITERATIONS)[0])
        return found[name]

    found = {}
    return whole


def test_chunked_is_whole(problem):
    """The same bits: parameters, buffer, environments, counters; sums add up."""
    _, program, source, expected = problem
    state, totals = run(program, source, 0, 1, 3, ITERATIONS)
    assert_same_bits(drained(state), drained(expected))
    assert np.array_equal(sum(t.iterations for t in totals), np.full(2, ITERATIONS))
    _, (whole,) = run(program, source, 0, ITERATIONS)
    for name, sums in whole.metrics.items():
        assert np.allclose(sum(t.metrics[name] for t in totals), sums, rtol=1e-6)


def test_tallies_of_chunks_add_up(problem):
    _, program, source, expected = problem
    state, finished = program.init(), 0
    for first in range(ITERATIONS):
        state, _ = run(program, source, first, first + 1, state=state)
        finished = finished + np.asarray(state.gatherer.tally.finished)
    assert np.array_equal(finished, expected.gatherer.tally.finished)


def test_resumed_is_uninterrupted(problem):
    """A state that went through the host's memory goes on as if nothing had been."""
    _, program, source, expected = problem
    state, _ = run(program, source, 0, 2)
    saved = jax.tree.map(lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.array(x), state)
    del state
    state, _ = run(program, source, 2, ITERATIONS, state=program.resume(saved))
    assert_same_bits(drained(state), drained(expected))


def test_a_report_can_be_gone_on_from(problem):
    """By `train`, from a report's iteration and state, with reports elsewhere."""
    name, program, source, expected = problem
    size = source.steps_per_gather or 1
    settings = {"total_steps": EVER, "report_every": 2 * size}
    for report in train(program, source, **settings):
        if report.iteration >= 2:
            break
    settings["report_every"] = size
    for after in train(program, source, start=(report.iteration, report.state), **settings):
        if after.iteration == ITERATIONS:
            break
    assert_same_bits(drained(after.state), drained(expected))


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_a_seed_alone_is_itself_among_several(name, whole_runs):
    """The same bits: the seeds of one device run one after another."""
    with jax.enable_x64(True):
        alone, _ = run(*prepared(name, 1), 0, ITERATIONS)
        among = whole_runs(name)
    assert_same_bits(alone, jax.tree.map(lambda x: x[:1], among))


def test_an_unfinished_state_has_the_templates_shapes(problem):
    """What a checkpoint is read into fits what was saved, on either side."""
    name, program, source, _ = problem
    for side in (program, prepared(name, on_host=True)[0]):
        state = run(side, prepared(name, on_host=side is not program)[1], 0, 1)[0]
        template = jax.tree.map(lambda x: (x.shape, str(x.dtype)), side.template())
        assert template == jax.tree.map(lambda x: (x.shape, str(x.dtype)), state)
