from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rewardtogo.optim.polyak import polyak
from rewardtogo.optim.trainable import descend, stepped_if, trainable


class Model(eqx.Module):
    moving: Any
    still: Any
    steps: Any  # an integer, which never learns
    activation: Any = jnp.tanh


def model():
    return Model(jnp.array([1.0, -2.0]), jnp.array([3.0, 4.0]), jnp.array(5))


def only_moving(moving):
    mask = jax.tree.map(lambda _: False, model())
    return eqx.tree_at(lambda m: m.moving, mask, moving)


def loss(model, factor):
    """Every leaf pulls: a frozen one must not give way."""
    value = factor * jnp.sum(model.moving**2 + model.still**2) * model.steps
    return value, value


@pytest.mark.parametrize("optimiser", [optax.sgd(0.01), optax.adamw(0.01, weight_decay=0.5)])
def test_frozen_leaves_never_move(optimiser):
    """Not by their gradient, and not by weight decay either; they are part of the model."""
    state = trainable(model(), optimiser, only_moving(True))
    for _ in range(3):
        state, _ = descend(loss, state, optimiser, 2.0)
    after = state.model
    assert np.array_equal(after.still, [3.0, 4.0]) and after.steps == 5
    assert after.activation is jnp.tanh
    assert np.all(np.abs(after.moving) < [1.0, 2.0])


def test_a_descent_is_the_optimisers_step_on_the_gradient():
    optimiser = optax.sgd(0.01)
    state, value = descend(loss, trainable(model(), optimiser), optimiser, 2.0)
    # The gradient of 2 · 5 · x² is 20 x; both float leaves learn by default.
    assert np.allclose(state.model.moving, [1 - 0.2, -2 + 0.4])
    assert np.allclose(state.model.still, [3 - 0.6, 4 - 0.8])
    assert value == 2 * 5 * (1 + 4 + 9 + 16)


def test_the_optimisers_state_goes_along():
    """Momentum: the second step is 1.9 times the first on a linear loss."""
    optimiser = optax.sgd(0.1, momentum=0.9)
    state = trainable(jnp.array(0.0), optimiser)
    line = lambda x: (3 * x, None)
    first, _ = descend(line, state, optimiser)
    second, _ = descend(line, first, optimiser)
    assert np.allclose([first.model, second.model], [-0.3, -0.3 - 0.57])


def test_polyak_moves_part_of_the_way():
    slow = model()
    fast = Model(slow.moving + 10, slow.still + 10, slow.steps + 10)
    after = polyak(slow, fast, 0.25)
    assert np.allclose(after.moving, [3.5, 0.5]) and np.allclose(after.still, [5.5, 6.5])
    assert after.steps == 15 and after.activation is jnp.tanh


@pytest.mark.parametrize("rate", [1.0, 0.0])
def test_polyak_at_its_ends_is_exact(rate):
    """A hard update is a copy to the bit, whatever the numbers' sizes."""
    slow, fast = jnp.array([1e8, 0.1, -3.0]), jnp.array([1.0, 0.3, 1e-9])
    after = polyak(slow, fast, jnp.array(rate))
    assert np.array_equal(after, fast if rate else slow)


def test_a_step_not_taken_leaves_all_but_the_clock():
    """Parameters and moments stay to the bit; a schedule counts the steps that were offered."""
    optimiser = optax.adam(optax.linear_schedule(1.0, 0.0, 10))
    before = trainable(model(), optimiser)
    stepped, _ = descend(loss, before, optimiser, 1.0)
    kept, taken = (stepped_if(jnp.array(new), stepped, before) for new in (False, True))
    clock = lambda state: optax.tree.get(state.opt_state, "count", filtering=is_schedule)
    moments = lambda state: (state.params, optax.tree.get(state.opt_state, "mu"))
    is_schedule = lambda path, _: "ScaleByScheduleState" in str(path)
    for state, expected in ((kept, before), (taken, stepped)):
        for a, b in zip(*map(jax.tree.leaves, (moments(state), moments(expected))), strict=True):
            assert np.array_equal(a, b)
        assert np.array_equal(state.model.steps, before.model.steps)
        assert clock(state) == clock(stepped) == clock(before) + 1
