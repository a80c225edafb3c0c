"""Products of ratios written out, and what cannot overflow."""

import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.estimators.importance import (
    clipped_ratio,
    effective_sample_share,
    prefix_ratio,
    self_normalised_ratio,
    step_ratio,
    trajectory_ratio,
)


# Three episodes, one a column; the second and the third ended early.
RATIO = np.array([[2.0, 0.5, 1.0], [0.5, 4.0, 1.0], [3.0, 1.0, 1.0]])
WEIGHT = [3.0, 2.0, 1.0]


@pytest.fixture
def log_ratio(x64):
    return jnp.log(jnp.asarray(RATIO))


def test_each_correction_by_hand(log_ratio):
    whole = np.tile(WEIGHT, (3, 1))
    assert np.allclose(step_ratio(log_ratio), RATIO)
    assert np.allclose(
        clipped_ratio(log_ratio, clip=0.4), [[1.4, 0.6, 1], [0.6, 1.4, 1], [1.4, 1, 1]]
    )
    assert np.allclose(prefix_ratio(log_ratio), [[2, 0.5, 1], [1, 2, 1], [3, 2, 1]])
    assert np.allclose(trajectory_ratio(log_ratio), whole)
    assert np.allclose(self_normalised_ratio(log_ratio), whole / 2)


def test_the_effective_sample_size_is_a_share_of_the_episodes(log_ratio):
    """(3 + 2 + 1)² / (9 + 4 + 1) / 3; 1 for equal ratios, 1/N where one outweighs the others."""
    assert np.isclose(effective_sample_share(log_ratio), 36 / 14 / 3)
    assert np.isclose(effective_sample_share(jnp.full((5, 4), 0.3)), 1)
    alone = jnp.zeros((2, 4)).at[0, 1].set(1e4)
    assert np.isclose(effective_sample_share(alone), 1 / 4)
    assert np.allclose(self_normalised_ratio(alone), [[0, 4, 0, 0]] * 2)


def test_an_action_that_has_become_impossible_weighs_nothing():
    log_ratio = jnp.zeros((2, 3)).at[0, 0].set(-jnp.inf)
    assert np.allclose(self_normalised_ratio(log_ratio)[0], [0, 1.5, 1.5])
    assert np.allclose(trajectory_ratio(log_ratio)[1], [0, 1, 1])
    assert np.allclose(prefix_ratio(log_ratio)[:, 0], [0, 0])
    assert np.isclose(effective_sample_share(log_ratio), 2 / 3)
