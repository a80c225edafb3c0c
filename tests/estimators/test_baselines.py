import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.estimators import baselines


LENGTHS = [4, 2, 3]
MASK = np.arange(4)[:, None] < np.array(LENGTHS)
RETURNS = np.where(MASK, np.random.default_rng(0).normal(size=(4, 3)), np.nan)  # padding is junk


def test_leave_one_out_averages_the_others(x64):
    """By loop: a finished episode earns 0 and still counts."""
    ours = baselines.leave_one_out(jnp.asarray(RETURNS), jnp.asarray(MASK))
    for t in range(4):
        for i in range(3):
            others = [RETURNS[t, j] if t < LENGTHS[j] else 0.0 for j in range(3) if j != i]
            assert np.isclose(ours[t, i], sum(others) / 2, rtol=1e-12)


def test_batch_mean_contains_its_own_sample(x64):
    ours = baselines.batch_mean(jnp.asarray(RETURNS), jnp.asarray(MASK))
    expected = np.nansum(RETURNS, axis=1, keepdims=True) / 3
    assert jnp.allclose(ours, np.broadcast_to(expected, (4, 3)), rtol=1e-12)


@pytest.mark.parametrize("full_return", [False, True])
def test_batch_mean_rescaled_is_leave_one_out(full_return, x64):
    """G3: N/(N-1) (G - batch mean) = G - leave-one-out, at any length; for full returns too."""
    returns, mask = jnp.asarray(RETURNS), jnp.asarray(MASK)
    if full_return:
        returns, mask = returns[0], mask[0]
    centred = returns - baselines.batch_mean(returns, mask)
    expected = returns - baselines.leave_one_out(returns, mask)
    assert jnp.allclose((1.5 * centred)[mask], expected[mask], rtol=1e-12)


def test_zero_is_no_baseline():
    assert jnp.array_equal(
        baselines.zero(jnp.asarray(RETURNS, jnp.float32), jnp.asarray(MASK)), jnp.zeros((4, 3))
    )


def test_the_optimal_constant_leaves_its_own_episode_out(x64):
    product, square = jnp.array([1.0, 2.0, 6.0]), jnp.array([1.0, 4.0, 0.0])
    ours = baselines.optimal(product, square)
    assert jnp.allclose(ours, jnp.array([8 / 4, 7 / 1, 3 / 5]))
    only_own = baselines.optimal(product[1:], square[1:])
    assert jnp.allclose(only_own, jnp.array([0.0, 2 / 4]))  # no score among the others


def test_each_member_of_a_family_has_its_own_optimum(x64):
    """Axes before the episodes' are solved one by one."""
    product, square = (jnp.asarray(x) for x in np.random.default_rng(1).uniform(size=(2, 2, 3, 4)))
    ours = baselines.optimal(product, square)
    for index in np.ndindex(2, 3):
        assert jnp.allclose(ours[index], baselines.optimal(product[index], square[index]))


def test_one_episode_has_no_others():
    with pytest.raises(ValueError, match="`optimal` needs at least 2 episodes in a batch; got 1"):
        baselines.optimal(jnp.ones(1), jnp.ones(1))
    with pytest.raises(ValueError, match="at least 2 episodes in a batch; got 1"):
        baselines.leave_one_out(jnp.zeros((5, 1)), jnp.ones((5, 1), bool))
