"""A model together with the state of the optimiser that trains it."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool


M = TypeVar("M")


class Trainable[M](eqx.Module):
    """The leaves of a model that learn, those that do not, and the optimiser's state.

    Which leaves learn is decided once, by the `trainable` mask of `trainable`.
    """

    params: M
    frozen: M
    opt_state: optax.OptState

    @property
    def model(self) -> M:
        """The whole model."""
        return eqx.combine(self.params, self.frozen)


def trainable[M](
    model: M, optimiser: optax.GradientTransformation, trainable: Any = eqx.is_inexact_array
) -> Trainable[M]:
    """Start training `model`; `trainable` is a predicate or a pytree of booleans."""
    params, frozen = eqx.partition(model, trainable)
    return Trainable(params, frozen, optimiser.init(params))


def gradient[M](
    loss: Callable[..., tuple[Any, Any]], trainable: Trainable[M], *args: Any
) -> tuple[M, Any]:
    """The gradient of `loss(model, *args) → (scalar, aux)` in what learns, and aux."""

    def of_params(params: M) -> tuple[Any, Any]:
        return loss(eqx.combine(params, trainable.frozen), *args)

    return eqx.filter_grad(of_params, has_aux=True)(trainable.params)


def apply_gradient[M](
    trainable: Trainable[M], optimiser: optax.GradientTransformation, grads: M
) -> Trainable[M]:
    """Take one optimiser step along `grads`, which need not be the gradient of any loss."""
    updates, opt_state = optimiser.update(
        cast(Any, grads), trainable.opt_state, cast(Any, trainable.params)
    )
    params = eqx.apply_updates(trainable.params, updates)
    return Trainable(params, trainable.frozen, opt_state)


def descend[M](
    loss: Callable[..., tuple[Any, Any]],
    trainable: Trainable[M],
    optimiser: optax.GradientTransformation,
    *args: Any,
) -> tuple[Trainable[M], Any]:
    """Take one optimiser step on `loss(model, *args) → (scalar, aux)`; return learner and aux."""
    grads, aux = gradient(loss, trainable, *args)
    return apply_gradient(trainable, optimiser, grads), aux


def stepped_if[M](
    new: Bool[Array, ""], stepped: Trainable[M], before: Trainable[M]
) -> Trainable[M]:
    """`stepped` where `new`, else `before`; the annealing goes on, whether or not steps do."""

    def pick(a, b):
        return a if is_clock(a) else jnp.where(new, a, b)

    is_clock = lambda x: isinstance(x, optax.ScaleByScheduleState)
    params = jax.tree.map(pick, stepped.params, before.params)
    opt_state = jax.tree.map(pick, stepped.opt_state, before.opt_state, is_leaf=is_clock)
    return Trainable(params, before.frozen, opt_state)
