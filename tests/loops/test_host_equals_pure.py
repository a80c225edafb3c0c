"""The same algorithm code on either side of the wall: parameters, statistics, counts."""

import jax
import numpy as np
import pytest

from loops.pairs import ALGORITHMS, as_numpy, prepared, run


ITERATIONS = 5


@pytest.fixture(scope="module", params=ALGORITHMS)
def both(request):
    with jax.enable_x64(True):
        pure, host = (prepared(request.param, on_host=side) for side in (False, True))
        return [run(*side, 0, ITERATIONS) for side in (pure, host)]


def test_parameters_are_equal_after_five_iterations(both):
    """Parameters, optimisers' states and statistics to 1e-9, in float64 throughout."""
    pure, host = (as_numpy(state.learner) for state, _ in both)
    assert jax.tree.structure(pure) == jax.tree.structure(host)
    for ours, theirs in zip(jax.tree.leaves(pure), jax.tree.leaves(host), strict=True):
        assert ours.dtype == theirs.dtype != np.float32
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_something_was_learned_from(both):
    """The parameters moved, and not the same way for the two seeds; episodes ended."""
    state, _ = both[0]
    for leaf in jax.tree.leaves(as_numpy(state.learner)):
        if leaf.ndim > 2:
            assert not np.array_equal(leaf[0], leaf[1])
    assert np.all(np.asarray(state.collector.statistics.finished.sum(-1)) > 2)


def test_steps_episodes_and_metrics_are_equal(both):
    (pure, (ours,)), (host, (theirs,)) = both
    assert np.array_equal(pure.collector.progress, host.collector.progress)
    for a, b in zip(
        jax.tree.leaves(pure.collector.statistics),
        jax.tree.leaves(host.collector.statistics),
        strict=True,
    ):
        assert np.allclose(a, b, rtol=1e-6)
    assert ours.metrics.keys() == theirs.metrics.keys()
    for name, sums in ours.metrics.items():
        assert np.allclose(sums, theirs.metrics[name], rtol=1e-8, atol=1e-9), name
    assert np.array_equal(ours.iterations, np.full(2, ITERATIONS))
    assert np.array_equal(theirs.iterations, np.full(2, ITERATIONS))
    assert np.array_equal(ours.bad_iteration, theirs.bad_iteration)
