import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.minibatches import shuffled_rows, shuffled_sequences


@pytest.mark.parametrize(("size", "minibatches"), [(24, 4), (7, 1), (2, 2), (1, 1)])
def test_every_pass_takes_each_row_once(size, minibatches, key):
    rows = shuffled_rows(key, size=size, num_epochs=3, num_minibatches=minibatches)
    assert rows.shape == (3 * minibatches, size // minibatches)
    for epoch in np.asarray(rows).reshape(3, size):
        assert np.array_equal(np.sort(epoch), np.arange(size))


def test_every_pass_is_shuffled_afresh(key):
    """Each row is as likely in any place: the mean place over 400 passes is the middle."""
    passes = np.asarray(shuffled_rows(key, size=20, num_epochs=400, num_minibatches=1))
    assert len(np.unique(passes, axis=0)) == 400
    places = np.argsort(passes, axis=-1)
    # A place is uniform on 0…19, of deviation 5.77; the mean of 400 has 0.29.
    assert np.abs(places.mean(axis=0) - 9.5).max() < 5 * 0.29
    other = shuffled_rows(jr.key(1), size=20, num_epochs=400, num_minibatches=1)
    assert not np.array_equal(passes, other)


def test_minibatches_must_divide(key):
    with pytest.raises(ValueError, match=r"`num_minibatches` \(5\) must divide the 24 rows"):
        shuffled_rows(key, size=24, num_epochs=1, num_minibatches=5)


@pytest.mark.parametrize(("length", "minibatches"), [(6, 2), (3, 4), (1, 3)])
def test_sequences_are_steps_in_a_row_of_one_environment(length, minibatches, key):
    """And every pass takes each step of each environment once."""
    time, envs = 6, 4
    rows = shuffled_sequences(
        key, time=time, envs=envs, length=length, num_epochs=2, num_minibatches=minibatches
    )
    assert rows.shape == (2 * minibatches, length, time * envs // length // minibatches)
    assert np.all(np.diff(rows, axis=1) == envs)
    assert np.all(np.asarray(rows)[:, 0] // envs % length == 0)
    for epoch in np.asarray(rows).reshape(2, -1):
        assert np.array_equal(np.sort(epoch), np.arange(time * envs))


def test_sequences_must_divide(key):
    passes = {"num_epochs": 1, "num_minibatches": 3}
    with pytest.raises(ValueError, match=r"`sequence_length` \(4\) must divide the 6 steps"):
        shuffled_sequences(key, time=6, envs=2, length=4, **passes)
    with pytest.raises(ValueError, match=r"`num_minibatches` \(3\) must divide the 4 rows"):
        shuffled_sequences(key, time=6, envs=2, length=3, **passes)
