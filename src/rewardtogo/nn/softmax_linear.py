"""Softmax policies that are linear in features of state and action: the theory's own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from .. import validate
from .distributions import Categorical
from .policies import StatelessPolicy


Features = Callable[[Any], Float[Array, "*batch actions features"]]


class SoftmaxLinearPolicy(StatelessPolicy[Categorical]):
    r"""$\pi_\theta(a \mid s) = \exp(\theta^\top\phi(s,a)) / \sum_b \exp(\theta^\top\phi(s,b))$.

    Sutton et al. (2000), section 2. Its score is
    $\nabla_\theta\log\pi_\theta(a \mid s) = \phi(s,a) - \sum_b \pi_\theta(b \mid s)\,\phi(s,b)$.

    **Arguments:** `features`: φ(s, ·), from observations with any leading axes to one row of
    numbers an action; a plain function, so that nothing in it is trained, whose constants are not
    made while `models` is traced. `theta`: θ, the first parameters; zeros are the uniform policy.
    """

    features: Features
    theta: Float[Array, " features"]

    def distribution(self, observation: Any) -> Categorical:
        return Categorical(self.features(observation) @ self.theta)


def tabular_softmax(
    num_states: int, num_actions: int, *, dtype: DTypeLike = jnp.float32
) -> SoftmaxLinearPolicy:
    r"""$\pi_\theta(a \mid s) \propto \exp(\theta_{sa})$, uniform at first.

    One parameter a pair: φ(s, a) is the unit vector of that pair, and `theta.reshape(num_states,
    num_actions)` is the table. Observations are the numbers of states. A sample costs
    `num_states · num_actions²`: for problems small enough to be solved exactly.

    **Raises:** `ValueError` unless both counts are at least 1.
    """
    validate.count("num_states", num_states)
    validate.count("num_actions", num_actions)
    actions = np.arange(num_actions, dtype=np.int32)  # no array of JAX: this may be traced

    def pairs(state: Int[Array, "*batch"]) -> Float[Array, "*batch actions pairs"]:
        row = jnp.expand_dims(actions, range(jnp.ndim(state)))
        pair = jnp.asarray(state)[..., None] * num_actions + row
        return jax.nn.one_hot(pair, num_states * num_actions, dtype=dtype)

    return SoftmaxLinearPolicy(pairs, jnp.zeros(num_states * num_actions, dtype))
