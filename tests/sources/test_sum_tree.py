import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats

from rewardtogo.sources.buffers.sum_tree import FAN_OUT, empty_tree, found, written


SIZES = [1, 7, 8, 9, 64, 65, 600]
BLOCK = FAN_OUT**2


def tree_of(weights):
    weights = jnp.asarray(weights, jnp.float32)
    return written(empty_tree(len(weights), weights.dtype), jnp.arange(len(weights)), weights)


def whole_numbers(size):
    """Half of them 0, every sum of them exact."""
    generator = np.random.default_rng(size)
    weights = generator.integers(0, 9, size) * generator.integers(0, 2, size)
    weights[size // 2] = 3
    return weights


@pytest.mark.parametrize("size", SIZES[3:])
def test_two_numbers_find_a_block_and_a_weight_in_it(size):
    """On a grid of both, whole sums exactly, against NumPy's search in the running sums."""
    weights = whole_numbers(size)
    tree = tree_of(weights)
    assert tree.total == weights.sum()
    target, fine = (
        x.ravel() for x in np.meshgrid(np.arange(0, weights.sum(), 0.5), np.arange(16) / 16)
    )
    index = found(tree, jnp.asarray(target, jnp.float32), jnp.asarray(fine, jnp.float32))
    expected = []
    for t, f in zip(target, fine, strict=True):
        block = np.searchsorted(np.cumsum(weights), t, side="right") // BLOCK * BLOCK
        within = weights[block : block + BLOCK]
        expected.append(block + np.searchsorted(np.cumsum(within), f * within.sum(), side="right"))
    assert np.array_equal(index, expected)


@pytest.mark.parametrize("size", SIZES[:3])
def test_in_one_block_the_target_finds_the_weight(size):
    weights = whole_numbers(size)
    target = np.arange(0, weights.sum(), 0.5, dtype=np.float32)
    index = found(tree_of(weights), jnp.asarray(target), jnp.zeros(target.shape))
    assert np.array_equal(index, np.searchsorted(np.cumsum(weights), target, side="right"))


@pytest.mark.parametrize("size", SIZES)
def test_each_level_sums_the_one_below(size):
    """After scattered changes, some of them twice; the padding stays 0."""
    generator = np.random.default_rng(0)
    tree, expected = tree_of(np.ones(size)), np.ones(size)
    for _ in range(3):
        index = generator.integers(0, size, 5)
        weight = generator.integers(0, 100, size)[index]
        tree = written(tree, jnp.asarray(index), jnp.asarray(weight, jnp.float32))
        expected[index] = weight
    assert np.array_equal(tree.weight[:size], expected) and not np.any(tree.weight[size:])
    for below, above in zip(tree.levels, tree.levels[1:], strict=False):
        sums = np.asarray(below).reshape(-1, FAN_OUT).sum(1)
        assert np.array_equal(above[: len(sums)], sums) and not np.any(above[len(sums) :])
    assert len(tree.levels[-1]) == FAN_OUT


def test_rounding_does_not_pile_up():
    """After 500 rounds of changes the sums are as exact as those of a tree made at once."""

    def change(carry, key):
        tree, weights = carry
        one, two = jr.split(key)
        index = jr.randint(one, (16,), 0, 600)
        weight = jr.uniform(two, (600,))[index] ** 8
        return (written(tree, index, weight), weights.at[index].set(weight)), None

    start = jr.uniform(jr.key(0), (600,))
    after = lambda: jax.lax.scan(change, (tree_of(start), start), jr.split(jr.key(1), 500))[0]
    tree, weights = jax.jit(after)()
    expected = np.asarray(weights, np.float64)
    for level in tree.levels:
        assert np.allclose(level[: len(expected)], expected, rtol=1e-6, atol=0)
        expected = np.pad(expected, (0, -len(expected) % FAN_OUT)).reshape(-1, FAN_OUT).sum(1)


@pytest.mark.parametrize("size", [7, 64, 600, 5000])
def test_a_weight_of_zero_is_never_found(size):
    """Also by targets at the total and beyond it, where rounding may put them."""
    generator = np.random.default_rng(size)
    weights = generator.random(size) ** 6 * (generator.random(size) < 0.3)
    weights[size // 2 :] = 0
    weights[0] = 1e-12
    tree = tree_of(weights)
    total = float(tree.total)
    ends = [0.0, np.nextafter(total, 0, dtype=np.float32), total, total * (1 + 1e-6)]
    target = np.concatenate([ends, np.cumsum(weights), generator.random(1000) * total])
    fine = np.full(target.shape, 1 - 2**-24, np.float32)
    index = np.asarray(found(tree, jnp.asarray(target, jnp.float32), jnp.asarray(fine)))
    assert np.all(index < size) and np.all(weights[index] > 0)


def test_small_weights_among_a_million_have_their_chance():
    """The last 128 of 2²⁰: each of them in proportion, by chi-square.

    Targets near the total are multiples of 1/16, six times the smallest weights.
    """
    size, last, draws = 2**20, 128, 400_000
    weights = np.where(np.arange(size) % 2 == 0, 1.0, 0.01)
    tree = tree_of(weights)
    one, two = jr.split(jr.key(0))
    width = weights[-last:].sum()
    target = (weights.sum() - width) + jr.uniform(one, (draws,)) * width
    index = np.asarray(jax.jit(found)(tree, target, jr.uniform(two, (draws,)))) - (size - last)
    for block in np.arange(last).reshape(-1, BLOCK):
        expected = weights[size - last + block]
        counts = np.bincount(index, minlength=last)[block]
        assert abs(counts.sum() / draws - 0.5) < 0.005
        expected = expected / expected.sum() * counts.sum()
        assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3
