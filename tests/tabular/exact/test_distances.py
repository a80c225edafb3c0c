"""T10: three total variations are one, couplings have their marginals, Pinsker and the triangle."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.tabular.exact.distances import (
    kl_divergence,
    optimal_coupling,
    sample_coupling,
    total_variation,
    total_variation_by_events,
    total_variation_by_excess,
)


POINTS = 5
WAYS = [total_variation, total_variation_by_events, total_variation_by_excess]
PAIRS = {
    "random": (
        np.array([0.1, 0.4, 0.0, 0.3, 0.2]),
        np.array([0.3, 0.1, 0.25, 0.35, 0.0]),
    ),
    "equal": (np.array([0.1, 0.4, 0.0, 0.3, 0.2]), np.array([0.1, 0.4, 0.0, 0.3, 0.2])),
    "disjoint": (np.array([0.5, 0.5, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.2, 0.7, 0.1])),
}
# By hand: the excess of p over q is 0.3 + 0.2 in the first.
DISTANCE = {"random": 0.5, "equal": 0.0, "disjoint": 1.0}
each_pair = pytest.mark.parametrize("name", PAIRS)


def distributions(count):
    return np.random.default_rng(0).dirichlet(np.full(POINTS, 0.5), size=count)


@each_pair
@pytest.mark.parametrize("way", WAYS)
def test_total_variation_by_hand(way, name):
    assert np.allclose(way(*PAIRS[name]), DISTANCE[name], rtol=0, atol=1e-15)


def test_the_three_agree_and_satisfy_the_triangle_and_pinsker():
    p, q, r = distributions(60), distributions(60)[::-1].copy(), np.roll(distributions(60), 7, 0)
    three = [way(p, q) for way in WAYS]
    assert np.ptp(three, axis=0).max() < 1e-15
    assert np.all(three[0] <= total_variation(p, r) + total_variation(r, q) + 1e-15)
    assert np.all(three[0] <= np.sqrt(kl_divergence(p, q) / 2))
    # Pinsker's constant is the best one: it is attained in the limit of a small change.
    fair, bent = np.array([0.5, 0.5]), np.array([0.501, 0.499])
    tight = total_variation(fair, bent) / np.sqrt(kl_divergence(fair, bent) / 2)
    assert 0.99999 < tight <= 1


def test_kl_against_scipy():
    p, q = distributions(20), distributions(20)[::-1].copy()
    assert np.allclose(kl_divergence(p, q), scipy.stats.entropy(p, q, axis=1), rtol=1e-12)


def test_kl_where_probabilities_are_zero(x64):
    half, sure = np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 0.0])
    assert np.isclose(kl_divergence(sure, half), np.log(2))
    assert kl_divergence(half, sure) == np.inf
    gradient = jax.grad(kl_divergence, argnums=(0, 1))(jnp.asarray(sure), jnp.asarray(half))
    assert np.isfinite(gradient).all() and np.allclose(gradient[1], [-2, 0, 0])


@each_pair
def test_the_optimal_coupling_as_a_table(name):
    p, q = PAIRS[name]
    joint = optimal_coupling(p, q)
    assert joint.min() >= 0
    assert np.allclose(joint.sum(axis=1), p, rtol=0, atol=1e-15)
    assert np.allclose(joint.sum(axis=0), q, rtol=0, atol=1e-15)
    assert np.isclose(1 - np.trace(joint), DISTANCE[name], rtol=0, atol=1e-15)


@each_pair
def test_sampled_pairs_follow_the_table(name, key):
    p, q = PAIRS[name]
    x, y = sample_coupling(p, q, key=key, num_samples=20_000)
    counts = np.zeros((POINTS, POINTS))
    np.add.at(counts, (x, y), 1)
    joint = optimal_coupling(p, q)
    assert np.all(counts[joint == 0] == 0)
    # Five standard deviations of a binomial share.
    assert np.all(np.abs(counts / 20_000 - joint) <= 5 * np.sqrt(joint / 20_000))
    assert np.isclose(np.mean(x != y), DISTANCE[name], atol=0.018)


def test_under_transformations(x64, key):
    p, q = jnp.asarray(distributions(3)), jnp.asarray(distributions(6)[3:])
    expected = [np.trace(optimal_coupling(a, b)) for a, b in zip(p, q, strict=True)]
    joint = jax.jit(jax.vmap(optimal_coupling))(p, q)
    assert np.allclose(jnp.trace(joint, axis1=1, axis2=2), expected)
    assert np.allclose(jax.jit(total_variation)(p, q), 1 - np.asarray(expected))


@pytest.mark.parametrize(
    ("p", "q", "message"),
    [
        ([[0.5, 0.5], [0.7, 0.2]], [[0.5, 0.5], [0.5, 0.5]], r"`p` at \[1\] is no distribution"),
        ([0.5, 0.5], [1.5, -0.5], "`q` is no distribution: its least entry is -0.5"),
        ([0.5, np.nan], [0.5, 0.5], "`p` is no distribution"),
    ],
)
@pytest.mark.parametrize("function", [*WAYS, kl_divergence])
def test_bad_input_is_named(function, p, q, message):
    with pytest.raises(ValueError, match=message):
        function(np.array(p), np.array(q))


def test_too_many_events_are_refused():
    uniform = np.full(17, 1 / 17)
    with pytest.raises(ValueError, match="17 points are too many"):
        total_variation_by_events(uniform, uniform)


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="`num_samples` must be at least 1; got 0"):
        sample_coupling(*PAIRS["random"], key=jr.key(0), num_samples=0)
