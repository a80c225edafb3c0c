"""What must not change a bit: where reports fall, an interruption, the other seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from loops.pairs import (
    ALGORITHMS,
    EVER,
    as_numpy,
    assert_same_bits,
    prepared,
    run,
)
from rewardtogo.training.loop import drained
from rewardtogo.training.train import train


ITERATIONS = 5


@pytest.fixture(scope="module", params=ALGORITHMS)
def problem(request):
    """The name, its program and source, and the state after five iterations in one chunk."""
    name = request.param
    with jax.enable_x64(True):
        yield name, *prepared(name), as_numpy(run(*prepared(name), 0, ITERATIONS)[0])


def test_chunked_is_whole(problem):
    """The same bits: parameters, buffer, environments, counters; sums add up."""
    _, program, source, expected = problem
    state, totals = run(program, source, 0, 1, 3, ITERATIONS)
    assert_same_bits(drained(state), drained(expected))
    assert np.array_equal(sum(t.iterations for t in totals), np.full(2, ITERATIONS))
    _, (whole,) = run(program, source, 0, ITERATIONS)
    for name, sums in whole.metrics.items():
        assert np.allclose(sum(t.metrics[name] for t in totals), sums, rtol=1e-6)


@pytest.mark.parametrize("on_host", [False, True], ids=["jax", "host"])
def test_tallies_of_chunks_add_up(problem, on_host):
    """Each report counts the episodes that ended since the last one, on either side."""
    name, _, _, expected = problem
    program, source = prepared(name, on_host=on_host)
    state, finished = program.init(), 0
    for first in range(ITERATIONS):
        state, _ = run(program, source, first, first + 1, state=state)
        finished = finished + np.asarray(state.collector.statistics.finished)
    assert np.array_equal(finished, expected.collector.statistics.finished)


def test_resumed_is_uninterrupted(problem):
    """A state that went through the host's memory goes on as if nothing had been."""
    _, program, source, expected = problem
    state, _ = run(program, source, 0, 2)
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    saved = jax.tree.map(lambda x: x if is_key(x) else np.array(x), state)
    state, _ = run(program, source, 2, ITERATIONS, state=program.resume(saved))
    assert_same_bits(drained(state), drained(expected))


def test_a_report_can_be_gone_on_from(problem):
    """By `train`, from a report's iteration and state, with reports elsewhere."""
    _, program, source, expected = problem
    size = source.collector.per_gather or 1
    settings = {"total_steps": EVER, "report_every": 2 * size}
    for report in train(program, **settings):
        if report.iteration >= 2:
            break
    settings["report_every"] = size
    for after in train(program, start=(report.iteration, report.state), **settings):
        if after.iteration == ITERATIONS:
            break
    assert_same_bits(drained(after.state), drained(expected))


def test_a_checkpoint_fits_what_it_is_read_into(problem):
    """Shapes and dtypes of the program's template are those of a state in use, on either side."""
    for on_host in (False, True):
        program, source = prepared(problem[0], on_host=on_host)
        state, _ = run(program, source, 0, 1)
        described = lambda tree: jax.tree.map(lambda x: (x.shape, str(x.dtype)), tree)
        assert described(program.template()) == described(state)


def test_nothing_is_compiled_after_the_first_iteration(problem, caplog):
    """On either side: a weakly typed number or a changing dtype would compile all of it again."""
    for on_host in (False, True):
        program, source = prepared(problem[0], on_host=on_host)
        state, _ = run(program, source, 0, 1)
        with jax.log_compiles(), caplog.at_level("WARNING"):
            run(program, source, 1, 3, state=state)
        assert not [r.getMessage() for r in caplog.records if "ompil" in r.getMessage()]


def test_parameters_may_be_kept_and_buffers_are_written_in_place(problem):
    """What a chunk is given: the algorithm's arrays live on, the source's are consumed."""
    _, program, source, _ = problem
    state, _ = run(program, source, 0, 1)
    run(program, source, 1, 2, state=state)
    assert not any(x.is_deleted() for x in jax.tree.leaves(state.learner))
    consumed = jax.tree.leaves((state.collector.env_key, state.buffer))
    assert all(x.is_deleted() for x in consumed)


def steps_taken(program, total_steps, gathers):
    """After each of so many gathers, `[gather, seed]`; the last state too."""
    state, found = program.init(), []
    for index in range(gathers):
        state, totals = program.chunk(state, index, index + 1, total_steps)
        found.append((np.asarray(state.collector.progress), np.asarray(totals.iterations)))
    steps, iterations = map(np.stack, zip(*found, strict=True))
    return steps, iterations, state


def test_a_seed_that_has_had_its_steps_stands_still():
    """Where gathers differ in length: its counters and its parameters, in one chunk or many."""
    with jax.enable_x64(True):
        program, _ = prepared("reinforce")
        free, _, _ = steps_taken(program, EVER, 6)
        # One seed gets there with gather 4, the other later.
        assert free[4, 0] != free[4, 1]
        total_steps, fast = int(free[4].max()), int(free[4].argmax())
        steps, iterations, state = steps_taken(program, total_steps, 6)
        whole, totals = program.chunk(program.init(), 0, 6, total_steps)
    assert np.array_equal(steps[:, fast], [*free[:5, fast], free[4, fast]])
    assert np.array_equal(steps[:, 1 - fast], free[:, 1 - fast])
    assert np.array_equal(iterations[:, fast], [1, 1, 1, 1, 1, 0])
    assert np.array_equal(iterations[:, 1 - fast], np.ones(6))
    assert np.array_equal(totals.iterations, iterations.sum(axis=0))
    assert_same_bits(drained(whole), drained(state))
