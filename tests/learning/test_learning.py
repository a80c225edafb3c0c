"""What must be learned, over ten seeds: minutes each, in `make learn` and not in `make test`."""

import math

import pytest

from experiments import learning


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def runs_of_its_own(tmp_path_factory, monkeypatch):
    """Train anew, whatever an earlier run has left."""
    monkeypatch.setattr(learning, "RUNS", tmp_path_factory.getbasetemp() / "learning")


@pytest.mark.parametrize("name", [n for n, c in learning.CHECKS.items() if c.threshold > -math.inf])
def test_reaches_its_threshold(name):
    found = learning.found_in(learning.train(name))
    assert learning.CHECKS[name].passed(found), found


def test_causality_learns_faster_than_the_full_return():
    """The intervals are apart at 300,000 steps."""
    causal, full = (
        learning.return_at(learning.train(name), learning.COMPARED_AT)
        for name in ("reinforce-no-baseline", "reinforce-full-return")
    )
    assert causal.low is not None and full.high is not None
    assert causal.low > full.high


def test_gymnasium_learns_as_jax_does():
    """The intervals of the training return overlap half-way."""
    jax, gymnasium = (
        learning.return_at(learning.train(name), 100_000)
        for name in ("ppo-cartpole", "ppo-cartpole-gymnasium")
    )
    ends = [end for found in (jax, gymnasium) for end in (found.low, found.high) if end is not None]
    assert max(ends[0], ends[2]) <= min(ends[1], ends[3])
