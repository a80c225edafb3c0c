"""A model together with the state of the optimiser that trains it."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool


M = TypeVar("M")


class Learner[M](eqx.Module):
    """The leaves of a model that learn, those that do not, and the optimiser's state.

    Which leaves learn is decided once, by the `trainable` mask of `learner`.
    """

    params: M
    frozen: M
    opt_state: optax.OptState

    @property
    def model(self) -> M:
        """The whole model."""
        return eqx.combine(self.params, self.frozen)


def learner[M](
    model: M, optimiser: optax.GradientTransformation, trainable: Any = eqx.is_inexact_array
) -> Learner[M]:
    """Start training `model`; `trainable` is a predicate or a pytree of booleans."""
    params, frozen = eqx.partition(model, trainable)
    return Learner(params, frozen, optimiser.init(params))


def gradient[M](
    loss: Callable[..., tuple[Any, Any]], learner: Learner[M], *args: Any
) -> tuple[M, Any]:
    """The gradient of `loss(model, *args) → (scalar, aux)` in what learns, and aux."""

    def of_params(params: M) -> tuple[Any, Any]:
        return loss(eqx.combine(params, learner.frozen), *args)

    return eqx.filter_grad(of_params, has_aux=True)(learner.params)


def apply_gradient[M](
    learner: Learner[M], optimiser: optax.GradientTransformation, grads: M
) -> Learner[M]:
    """Take one optimiser step along `grads`, which need not be the gradient of any loss."""
    updates, opt_state = optimiser.update(
        cast(Any, grads), learner.opt_state, cast(Any, learner.params)
    )
    params = eqx.apply_updates(learner.params, updates)
    return Learner(params, learner.frozen, opt_state)


def descend[M](
    loss: Callable[..., tuple[Any, Any]],
    learner: Learner[M],
    optimiser: optax.GradientTransformation,
    *args: Any,
) -> tuple[Learner[M], Any]:
    """Take one optimiser step on `loss(model, *args) → (scalar, aux)`; return learner and aux."""
    grads, aux = gradient(loss, learner, *args)
    return apply_gradient(learner, optimiser, grads), aux


def stepped_if[M](new: Bool[Array, ""], stepped: Learner[M], before: Learner[M]) -> Learner[M]:
    """`stepped` where `new`, else `before`; the annealing goes on, whether or not steps do."""

    def pick(a, b):
        return a if is_clock(a) else jnp.where(new, a, b)

    is_clock = lambda x: isinstance(x, optax.ScaleByScheduleState)
    params = jax.tree.map(pick, stepped.params, before.params)
    opt_state = jax.tree.map(pick, stepped.opt_state, before.opt_state, is_leaf=is_clock)
    return Learner(params, before.frozen, opt_state)
