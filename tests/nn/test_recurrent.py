"""The GRU against Equinox's; what a memory carries over steps, and what it must not."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from quick_compiles import quick_compiles  # noqa: F401
from rewardtogo.nn.actor_critic import Actor
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.recurrent import GRU, gru, recurrent_actor_critic


SEEN = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
CHOICES = gym.spaces.Discrete(4)
NUMBERS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def model(action: gym.Space = CHOICES, *, dtype: Any = jnp.float32, size: int = 6) -> Any:
    nets = Architecture(SEEN, action, (5,), "tanh", dtype=dtype)
    built = recurrent_actor_critic(nets, jr.key(1), size=size, log_std=-0.7)
    # A fresh policy head is nearly blind to the memory; here it should show.
    where = lambda m: (m.actor.logits if action is CHOICES else m.actor.mean).layers[-1].weight
    return eqx.tree_at(where, built, replace_fn=lambda w: 100 * w)


def random_gru(inputs, size):
    """All weights and biases drawn, so that none can be left out."""
    built = gru(inputs, size, key=jr.key(0), dtype=jnp.float64)
    leaves, structure = jax.tree.flatten(built)
    keys = jr.split(jr.key(7), len(leaves))
    drawn = [jr.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def equinox_cell(ours: GRU) -> eqx.nn.GRUCell:
    inputs, thrice = ours.inputs.weight.shape
    cell = eqx.nn.GRUCell(inputs, thrice // 3, dtype=jnp.float64, key=jr.key(0))
    where = lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n)
    values = (ours.inputs.weight.T, ours.recurrent.T, ours.inputs.bias, ours.bias)
    return eqx.tree_at(where, cell, values)


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_a_step_is_equinoxs(batch, x64):
    """The same weights, values and gradients, over any leading axes."""
    ours = random_gru(3, 5)
    x, h = jr.normal(jr.key(1), (*batch, 3)), jr.uniform(jr.key(2), (*batch, 5), minval=-1.0)
    flat_x, flat_h = x.reshape(-1, 3), h.reshape(-1, 5)
    cell = equinox_cell(ours)
    theirs, pull = jax.vjp(jax.jit(lambda x, h: jax.vmap(cell)(x, h)), flat_x, flat_h)
    after, pull_ours = jax.vjp(jax.jit(lambda x, h: ours(x, h)), x, h)
    assert np.allclose(after, theirs.reshape(h.shape), rtol=0, atol=1e-14)
    for gradient, expected in zip(pull_ours(after), pull(theirs), strict=True):
        assert np.allclose(gradient, expected.reshape(gradient.shape), rtol=0, atol=1e-13)


def test_every_gate_begins_orthogonal(x64):
    built = gru(9, 4, key=jr.key(0), dtype=jnp.float64)
    for weight in (built.inputs.weight, built.recurrent):
        blocks = np.split(weight, 3, axis=1)
        for block in blocks:
            assert np.allclose(block.T @ block, np.eye(4), atol=1e-12)
        assert not np.allclose(blocks[0], blocks[1])
    assert not np.any(built.inputs.bias) and not np.any(built.bias)


def test_a_new_policy_is_nearly_uniform_whatever_was_seen(key):
    nets = Architecture(SEEN, CHOICES, (5,), "tanh")
    fresh: Any = recurrent_actor_critic(nets, key, size=6, log_std=0.0)
    carry = jr.uniform(key, (50, 6), minval=-1.0)
    distribution, value, after = fresh(jr.normal(key, (50, 3)), carry)
    assert np.abs(jax.nn.softmax(distribution.logits) - 0.25).max() < 0.02
    assert value.shape == (50,) and after.shape == (50, 6)


def test_continuous_actions(key):
    distribution, value, _ = model(NUMBERS)(jr.normal(key, (4, 3)), jnp.zeros((4, 6)))
    assert distribution.mean.shape == (4, 2) and value.shape == (4,)
    assert np.allclose(distribution.log_std, -0.7)


def test_the_past_changes_what_is_done_and_expected(key):
    """The same observation, after another one."""
    built = model()
    now = jnp.ones(3)
    answers = []
    for before in (jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])):
        _, _, carry = built(before, built.initial_carry())
        distribution, value, _ = built(now, carry)
        answers.append((distribution.logits, value))
    assert np.abs(answers[0][0] - answers[1][0]).max() > 0.01
    assert abs(answers[0][1] - answers[1][1]) > 1e-3


def stepped(built, observation, carry):
    """Step by step, in plain Python, without any border."""
    rows = []
    for row in observation:
        distribution, value, carry = eqx.filter_jit(built)(row, carry)
        rows.append((distribution.logits, value, carry))
    return [np.stack(x) for x in zip(*rows, strict=True)]


def test_two_episodes_in_one_sequence_are_the_two_apart(x64):
    """The border of the first environment is after step 2, of the second after step 4."""
    built = model(dtype=jnp.float64)
    observation = jr.normal(jr.key(3), (7, 2, 3))
    border = np.array([2, 4])
    boundary = jnp.arange(7)[:, None] == jnp.asarray(border)[None]
    first = jr.uniform(jr.key(4), (2, 6), minval=-1.0)  # the middle of an episode
    distribution: Any
    distribution, value, after = built.unroll(observation, first, boundary)
    for env, last in enumerate(border):
        whole = [observation[: last + 1, env], observation[last + 1 :, env]]
        parts = [
            stepped(built, whole[0], first[env]),
            stepped(built, whole[1], built.initial_carry()),
        ]
        logits, values, memories = (np.concatenate(x) for x in zip(*parts, strict=True))
        assert np.allclose(distribution.logits[:, env], logits, rtol=0, atol=1e-13)
        assert np.allclose(value[:, env], values, rtol=0, atol=1e-13)
        # The memory of the step at the border is the one that the true successor is judged with.
        assert np.allclose(after[:, env], memories, rtol=0, atol=1e-13)


def test_no_gradient_crosses_a_border(x64):
    """What was seen before the border does not matter after it; within an episode it does."""
    built = model(dtype=jnp.float64)
    boundary = jnp.array([False, True, False, False])

    def last_value(observation):
        return built.unroll(observation, built.initial_carry(), boundary)[1][-1]

    gradient = jax.grad(last_value)(jr.normal(jr.key(5), (4, 3)))
    assert not np.any(gradient[:2]) and np.all(np.any(gradient[2:] != 0, axis=1))


def test_the_actor_acts_on_the_memory(key):
    built = model()
    seen, carry = jr.normal(key, (3,)), jr.uniform(key, (6,), minval=-1.0)
    distribution: Any
    distribution, after = Actor(built)(seen, carry)
    expected, _, expected_after = built(seen, carry)
    assert np.array_equal(distribution.logits, expected.logits)
    assert np.array_equal(after, expected_after)
    assert not np.any(Actor(built).initial_carry())


def test_everything_is_in_the_dtype_asked_for(x64):
    built = model(NUMBERS, dtype=jnp.float64)
    assert {x.dtype for x in jax.tree.leaves(built)} == {jnp.dtype("float64")}
    assert built.initial_carry().dtype == jnp.float64


def test_nothing_before_the_memory_is_refused(key):
    nets = Architecture(SEEN, CHOICES, (), "tanh")
    with pytest.raises(ValueError, match="`hidden` is empty"):
        recurrent_actor_critic(nets, key, size=6, log_std=0.0)
