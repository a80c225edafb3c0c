"""Returns from a ring against a loop over the history that was written into it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rewardtogo.sources.buffers.n_step import n_step
from rewardtogo.types import Transition


DISCOUNT = 0.9
ROWS, ENVS = 7, 2


def history(length):
    """Steps in order: environment 0 ends and is cut in turn, 1 is cut once, every reward tells."""
    time, env = np.meshgrid(np.arange(length), np.arange(ENVS), indexing="ij")
    number = 10 * time + env
    terminated = (env == 0) & (time % 5 == 2)
    truncated = ((env == 0) & (time % 5 == 4)) | ((env == 1) & (time == 6))
    reward = 2.0 ** (time % 8) + env / 3
    return Transition(
        {"seen": number[..., None] + 0.25}, number, reward, {"seen": -number[..., None] - 0.5},
        terminated, truncated,
    )  # fmt: skip


def ring_of(steps, length):
    """The last `ROWS` of them, each at its time modulo `ROWS`; older ones are overwritten."""

    def wrap(x):
        ring = np.zeros((ROWS, *x.shape[1:]), x.dtype)
        for t in range(length):
            ring[t % ROWS] = x[t]
        return jnp.asarray(ring)

    return jax.tree.map(wrap, steps)


def by_hand(steps, t, env, num_steps, length):
    """The reward, the last step and the number of steps of the return from step `t`."""
    total, m = 0.0, 0
    for k in range(num_steps):
        total += DISCOUNT**k * steps.reward[t + k, env]
        m += 1
        if steps.terminated[t + k, env] or steps.truncated[t + k, env] or t + k == length - 1:
            break
    return total, t + m - 1, m


@pytest.mark.parametrize("length", [4, 7, 10, 16])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 5, 9])
def test_against_a_loop_over_the_history(x64, length, num_steps):
    """Part filled, full and wrapped; every step that is stored; n beyond the ring too."""
    steps = history(length)
    times = np.arange(max(length - ROWS, 0), length)
    where = np.array([(t, env) for t in times for env in range(ENVS)])
    batch = n_step(
        ring_of(steps, length),
        jnp.asarray(where[:, 0] % ROWS),
        jnp.asarray(where[:, 1]),
        newest=jnp.asarray((length - 1) % ROWS),
        num_steps=num_steps,
        discount=DISCOUNT,
    )
    batch, lengths = jax.tree.map(np.asarray, batch), set()
    for i, (t, env) in enumerate(where):
        total, last, m = by_hand(steps, t, env, num_steps, length)
        lengths.add(m)
        assert np.isclose(batch.reward[i], total, rtol=1e-12)
        assert np.isclose(batch.record.discount[i], DISCOUNT**m, rtol=1e-12)
        assert batch.record.weight[i] == 1
        assert batch.action[i] == steps.action[t, env]
        assert np.array_equal(batch.observation["seen"][i], steps.observation["seen"][t, env])
        after = steps.next_observation["seen"][last, env]
        assert np.array_equal(batch.next_observation["seen"][i], after)
        assert batch.terminated[i] == steps.terminated[last, env]
        assert batch.truncated[i] == steps.truncated[last, env]
    assert lengths >= set(range(1, min(num_steps, 3) + 1))


def test_a_batch_of_batches_is_looked_up_alike(x64):
    """Any leading axes; γ = 0 keeps the first reward and no bootstrap."""
    ring = ring_of(history(10), 10)
    row, env = jnp.array([[3, 4, 5], [6, 0, 1]]), jnp.array([[0, 1, 0], [1, 0, 1]])
    looked_up = lambda row, env: n_step(
        ring, row, env, newest=jnp.array(2), num_steps=3, discount=0.0
    )
    whole, flat = looked_up(row, env), looked_up(row.ravel(), env.ravel())
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(flat), strict=True):
        assert np.array_equal(ours.reshape(theirs.shape), theirs)
    assert np.array_equal(whole.reward, ring.reward[row, env])
    assert not np.any(whole.record.discount)
