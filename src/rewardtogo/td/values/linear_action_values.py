r"""$Q(s, a) = w_a^\top x(s)$: action values that are linear in features of the observation."""

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from ..steps.step_sizes import AbstractStepSize
from .action_values import AbstractQFunction
from .features import AbstractFeatures, nonzero


class LinearActionValues(AbstractQFunction):
    r"""Weights of each action over the same features; `linear_action_values` builds it.

    $$w_a \leftarrow w_a + \alpha_n\,(y - Q(s, a))\; c \odot x(s)$$

    Sutton and Barto (2018), eq. 10.1. $c$ is the features' own `step_scale`: with tile coding
    1/tilings, so that α is the share of the error by which a value moves. n counts all updates.
    """

    weights: Float[Array, "features actions"]
    updates: Float[Array, ""]
    features: AbstractFeatures

    def at(self, state: Shaped[Array, " dims"]) -> Float[Array, " actions"]:
        index, value = self._active(state)
        return jnp.sum(self.weights[index] * value[:, None], axis=0)

    def moved(
        self,
        state: Shaped[Array, " dims"],
        action: Int[Array, ""],
        target: Float[Array, ""],
        step_size: AbstractStepSize,
    ) -> "LinearActionValues":
        index, value = self._active(state)
        updates = self.updates + 1
        before = jnp.sum(self.weights[index, action] * value)
        scale = jnp.asarray(self.features.step_scale, value.dtype)[index]
        step = step_size(updates) * (target - before) * scale * value
        # As in a table: else the weights are copied at every step.
        step = lax.optimization_barrier(step)
        moved = self.weights.at[index, action].add(step)
        return LinearActionValues(moved, updates, self.features)

    def _active(
        self, state: Shaped[Array, " dims"]
    ) -> tuple[Int[Array, " active"], Float[Array, " active"]]:
        return nonzero(self.features, state.astype(self.weights.dtype))


def linear_action_values(features: AbstractFeatures, num_actions: int) -> LinearActionValues:
    """Zeros, in the program's own precision."""
    zeros = np.zeros((features.size, num_actions), jnp.result_type(float))
    return LinearActionValues(jnp.asarray(zeros), jnp.zeros((), zeros.dtype), features)


@eqx.filter_jit
def greedy_values(
    values: LinearActionValues, observations: Float[Array, "points dims"]
) -> Float[Array, " points"]:
    r"""$\max_a Q(s, a)$ at each observation."""
    return eqx.filter_vmap(lambda seen: jnp.max(values.at(seen)))(observations)
