"""Features against their formulas, and tiles against a count by hand."""

import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.td.values.features import (
    FeatureTable,
    Fourier,
    Polynomial,
    TileCoding,
    state_aggregation,
)


def by_hand(observation, low, high, tiles, tilings):
    """The tile of each tiling, with fractions; tiles numbered in the order in which they lie."""
    dims, found, before = len(low), [], 0
    for i in range(tilings):
        places, counts = [], []
        for d in range(dims):
            width = Fraction(high[d] - low[d], tiles)
            shift = Fraction(i * (2 * d + 1) % tilings, tilings) * width
            # Borders of the tiles that meet the range.
            edges = [low[d] - shift + k * width for k in range(tiles + 2)]
            edges = [e for e in edges if e < high[d]]
            places.append(max(k for k, e in enumerate(edges) if e <= observation[d]))
            counts.append(len(edges))
        found.append(before + int(np.ravel_multi_index(places, counts)))
        before += int(np.prod(counts))
    return found, before


@pytest.mark.parametrize(
    ("low", "high", "tiles", "tilings"),
    [
        ((0,), (6,), 3, 4),
        ((-2, 1), (4, 13), 3, 4),
        ((0,), (49,), 49, 1),
        ((0, 0, 0), (4,) * 3, 2, 5),
    ],
)
def test_tiles_against_a_count_by_hand(low, high, tiles, tilings):
    """Borders included, where rounding would show."""
    coding = TileCoding(low, high, tiles=tiles, tilings=tilings)
    steps = [np.linspace(a, b, 13 if len(low) < 3 else 5) for a, b in zip(low, high, strict=True)]
    whole = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    points = [*itertools.product(*steps), *itertools.product(*whole)]
    active = np.asarray(jax.jit(jax.vmap(coding.active))(jnp.asarray(points, jnp.float32)))
    for point, ours in zip(points, active, strict=True):
        inside = [min(float(x), b - 1e-9) for x, b in zip(point, high, strict=True)]
        found, size = by_hand([Fraction(x) for x in inside], low, high, tiles, tilings)
        assert ours.tolist() == found
        assert coding.size == size


def test_one_feature_of_each_tiling_is_one():
    coding = TileCoding((0.0, 0.0), (1.0, 2.0), tiles=4, tilings=8)
    points = jnp.asarray(np.random.default_rng(0).uniform((0, 0), (1, 2), (50, 2)), jnp.float32)
    rows = np.asarray(jax.vmap(coding)(points))
    assert rows.shape == (50, coding.size)
    assert np.all((rows == 0) | (rows == 1)) and np.all(rows.sum(axis=1) == 8)
    where = np.argwhere(rows)[:, 1].reshape(50, 8)
    assert np.array_equal(where, np.sort(jax.vmap(coding.active)(points), axis=1))


def test_every_tile_is_met():
    """No weight is idle: every tile has its point in the range."""
    coding = TileCoding(0.5, 1000.5, tiles=5, tilings=50)
    met = np.unique(jax.vmap(coding.active)(jnp.arange(1.0, 1001.0)[:, None]))
    # The 50 tilings are 4 states apart, so that all but the first have a sixth tile.
    assert coding.size == 5 + 49 * 6 and len(met) == coding.size


def test_groups():
    """Sutton and Barto (2018), example 9.1: 1000 states in 10 groups of 100."""
    groups = state_aggregation(0.5, 1000.5, groups=10)
    found = np.ravel(jax.vmap(groups.active)(jnp.arange(1.0, 1001.0)[:, None]))
    assert groups.size == 10 and np.array_equal(found, np.arange(1000) // 100)


@pytest.mark.parametrize("low", [(0.0,), (-1.0, 2.0), (0.0, -3.0, 5.0)])
def test_fourier_and_polynomials(low, x64):
    """The formulas, one feature at a time; beyond the range the edge counts."""
    most, dims = 3, len(low)
    high = tuple(x + 2.0 for x in low)
    rng = np.random.default_rng(0)
    points = rng.uniform(np.array(low) - 0.5, np.array(high) + 0.5, (20, dims))
    fourier = np.asarray(jax.vmap(Fourier(low, high, order=most))(jnp.asarray(points)))
    polynomial = np.asarray(jax.vmap(Polynomial(low, high, degree=most))(jnp.asarray(points)))
    unit = np.clip((points - low) / 2, 0, 1)
    vectors = list(itertools.product(range(most + 1), repeat=dims))
    assert fourier.shape == polynomial.shape == (20, len(vectors))
    for i, c in enumerate(vectors):
        assert np.allclose(fourier[:, i], np.cos(np.pi * (unit @ c)), atol=1e-12)
        assert np.allclose(polynomial[:, i], np.prod(unit ** np.array(c), axis=1), atol=1e-12)
    scale = [1 / np.linalg.norm(c) if any(c) else 1.0 for c in vectors]
    assert np.allclose(Fourier(low, high, order=most).step_scale, scale)


def test_a_table():
    matrix = np.arange(6.0).reshape(3, 2)
    rows = jax.vmap(FeatureTable(matrix))(jnp.arange(3.0)[:, None])
    assert np.array_equal(rows, matrix) and FeatureTable(matrix).size == 2
    # One row of NumPy is taken without a warning.
    assert np.array_equal(FeatureTable(matrix)(np.array([2.0])), matrix[2])


BAD = [
    (lambda: TileCoding(1.0, 1.0, tiles=2), r"`low` must be below `high`; dimension 0 has \[1.0"),
    (lambda: TileCoding((0.0, 3.0), (1.0, 2.0), tiles=2), "dimension 1 has"),
    (lambda: Fourier((0.0, 0.0), 1.0, order=2), "of one width, at least 1; got 2 and 1"),
    (lambda: Fourier((), (), order=2), "of one width, at least 1; got 0 and 0"),
    (lambda: Polynomial(0.0, np.inf, degree=2), "`low` must be below `high`"),
    (lambda: TileCoding(0.0, 1.0, tiles=0), "`tiles` must be a whole number, at least 1; got 0"),
    (lambda: TileCoding(0.0, 1.0, tiles=2, tilings=0), "`tilings` must be a whole number"),
    (lambda: state_aggregation(0.0, 1.0, groups=0), "`groups` must be a whole number"),
    (lambda: Fourier(0.0, 1.0, order=-1), "`order` must be a whole number, at least 0"),
    (lambda: Polynomial(0.0, 1.0, degree=-1), "`degree` must be a whole number, at least 0"),
    (
        lambda: TileCoding(0.0, 1.0, tiles=10**7 + 1),
        "`tiles` 10,000,001 and .* 10,000,001 features",
    ),
    (lambda: TileCoding(0.0, 1.0, tiles=1, tilings=10**30), "lower `tiles` or `tilings`"),
    (lambda: state_aggregation((0, 0), (1, 1), groups=4000), "16,000,000 features.*lower `groups`"),
    (lambda: Fourier((0.0,) * 4, (1.0,) * 4, order=57), r"`order` 57, .* 11,316,496 features"),
    (lambda: Polynomial(0.0, 1.0, degree=10**7), "lower `degree`, which is the flag `--order`"),
    (lambda: FeatureTable(np.zeros((0, 2))), r"`matrix` must have shape \[states, features\]"),
    (lambda: FeatureTable(np.full((2, 2), np.nan)), "`matrix` must be finite"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_features(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "features",
    [
        TileCoding((0.0, 0.0), (1.0, 1.0), tiles=2),
        Fourier((0.0, 0.0), (1.0, 1.0), order=1),
        Polynomial((0.0, 0.0), (1.0, 1.0), degree=1),
        FeatureTable(np.eye(2)),
    ],
)
def test_an_observation_of_the_wrong_width(features):
    with pytest.raises(ValueError, match="features of the wrong width: they are of observations"):
        features(jnp.zeros(3))
