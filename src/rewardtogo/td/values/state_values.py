r"""Values of the states of an MDP as a function $\hat v(s, w)$ of weights $w$.

A table, a linear function of features and a network answer the same questions, so that one method
of prediction learns with any of them. Sutton and Barto (2018), chapter 9.
"""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ... import validate
from ...nn.mlp import MLP, mlp, orthogonal
from ...types import AnyArray
from .features import AbstractFeatures, FeatureTable, TileCoding


# Tiles from which on it pays to look up the active ones. On a CPU a scattered sum costs about 1 µs,
# as much as a thousand products in a row.
_MANY = 1000


MAX_NUMBERS = 50_000_000
"""Numbers that the rows of all states may hold together; more are refused."""


class AbstractValues(eqx.Module):
    r"""$\hat v(s, w)$ for the states of one MDP, by their numbers; the weights are kept outside."""

    @property
    @abc.abstractmethod
    def num_states(self) -> int:
        """|S|, terminal states included."""

    @property
    @abc.abstractmethod
    def separate(self) -> bool:
        """Whether to learn of one state leaves the others as they are; updates count by state."""

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> Any:
        """The first weights."""

    @abc.abstractmethod
    def value(self, weights: Any, state: Int[Array, ""]) -> Float[Array, ""]:
        r"""$\hat v(s, w)$."""

    @abc.abstractmethod
    def values(self, weights: Any) -> Float[Array, " states"]:
        r"""$\hat v(s, w)$ of every state; what is said of terminal ones has no meaning."""

    @abc.abstractmethod
    def moved(self, weights: Any, state: Int[Array, ""], step: Float[Array, ""]) -> Any:
        r"""$w + \text{step} \cdot \nabla_w \hat v(s, w)$."""


class TabularValues(AbstractValues):
    """A value for each state: linear, with one feature for each state."""

    initial: Float[AnyArray, " states"]
    """What each state is worth at first; terminal ones 0."""

    @property
    def num_states(self) -> int:
        return len(self.initial)

    @property
    def separate(self) -> bool:
        return True

    def init(self, key: PRNGKeyArray) -> Float[Array, " states"]:
        del key
        return jnp.asarray(self.initial)

    def value(self, weights: Float[Array, " states"], state: Int[Array, ""]) -> Float[Array, ""]:
        return weights[state]

    def values(self, weights: Float[Array, " states"]) -> Float[Array, " states"]:
        return weights

    def moved(
        self, weights: Float[Array, " states"], state: Int[Array, ""], step: Float[Array, ""]
    ) -> Float[Array, " states"]:
        return weights.at[state].add(step)


class LinearValues(AbstractValues):
    r"""$w^\top x(s)$ from $w = 0$; a step costs O(features). `linear_values` builds it."""

    rows: Float[AnyArray, "states features"]
    """x(s) of every state."""
    step_scale: Float[AnyArray, " features"]
    """By how much the step of each weight is multiplied."""

    @property
    def num_states(self) -> int:
        return len(self.rows)

    @property
    def separate(self) -> bool:
        return False

    def init(self, key: PRNGKeyArray) -> Float[Array, " features"]:
        del key
        return jnp.zeros(self.rows.shape[1], self.rows.dtype)

    def value(self, weights: Float[Array, " features"], state: Int[Array, ""]) -> Float[Array, ""]:
        # A sum and not a product of vectors, which on a CPU is a call to a library.
        return jnp.sum(jnp.asarray(self.rows)[state] * weights)

    def values(self, weights: Float[Array, " features"]) -> Float[Array, " states"]:
        return jnp.asarray(self.rows) @ weights

    def moved(
        self, weights: Float[Array, " features"], state: Int[Array, ""], step: Float[Array, ""]
    ) -> Float[Array, " features"]:
        return weights + step * self.step_scale * jnp.asarray(self.rows)[state]


class TileValues(AbstractValues):
    """The sum of the weights of the tiles that a state lies in; a step costs O(tilings)."""

    active: Int[AnyArray, "states tilings"]
    """The tiles of every state."""
    size: int = eqx.field(static=True)
    """Tiles of all tilings together."""
    step_scale: float
    """By how much the step of each weight is multiplied."""

    @property
    def num_states(self) -> int:
        return len(self.active)

    @property
    def separate(self) -> bool:
        return False

    def init(self, key: PRNGKeyArray) -> Float[Array, " tiles"]:
        del key
        return jnp.zeros(self.size)

    def value(self, weights: Float[Array, " tiles"], state: Int[Array, ""]) -> Float[Array, ""]:
        return jnp.sum(weights[jnp.asarray(self.active)[state]])

    def values(self, weights: Float[Array, " tiles"]) -> Float[Array, " states"]:
        return jnp.sum(weights[jnp.asarray(self.active)], axis=1)

    def moved(
        self, weights: Float[Array, " tiles"], state: Int[Array, ""], step: Float[Array, ""]
    ) -> Float[Array, " tiles"]:
        return weights.at[jnp.asarray(self.active)[state]].add(step * self.step_scale)


class NetworkValues(AbstractValues):
    r"""A multilayer perceptron of the observation, tanh between its layers; steps are of SGD.

    `network_values` scales the observations. Weights are orthogonal, gain √2 in hidden layers and
    1 in the last; Saxe et al. (2014).
    """

    inputs: Float[AnyArray, "states dims"]
    """What the network sees of every state."""
    hidden_sizes: tuple[int, ...] = eqx.field(default=(32, 32), static=True)
    """Units of each hidden layer."""

    def __check_init__(self):
        for size in self.hidden_sizes:
            validate.count("hidden_sizes", size)

    @property
    def num_states(self) -> int:
        return len(self.inputs)

    @property
    def separate(self) -> bool:
        return False

    def init(self, key: PRNGKeyArray) -> MLP:
        return mlp(
            (self.inputs.shape[1], *self.hidden_sizes, 1),
            activation=jnp.tanh,
            hidden_init=orthogonal(2**0.5),
            output_init=orthogonal(1.0),
            key=key,
            dtype=self.inputs.dtype,
        )

    def value(self, weights: MLP, state: Int[Array, ""]) -> Float[Array, ""]:
        return weights(jnp.asarray(self.inputs)[state])[0]

    def values(self, weights: MLP) -> Float[Array, " states"]:
        return weights(jnp.asarray(self.inputs))[:, 0]

    def moved(self, weights: MLP, state: Int[Array, ""], step: Float[Array, ""]) -> MLP:
        gradient = jax.grad(self.value)(weights, state)
        return jax.tree.map(lambda w, g: w + step * g, weights, gradient)


def linear_values(
    features: AbstractFeatures,
    observations: Float[AnyArray, "states dims"],
    *,
    scale_steps: bool = True,
) -> LinearValues | TileValues:
    r"""$\hat v(s, w) = w^\top x(s)$, with the features of what is observed in each state.

    **Arguments:** `scale_steps`: whether to multiply the step of each weight by the features' own
    `step_scale`, as control does: one over the number of tilings, or over a frequency's norm.
    **Raises:** `ValueError` for features of the wrong width, and more than `MAX_NUMBERS`.
    """
    _check_dims(features, observations)
    scale = features.step_scale if scale_steps else np.ones(features.size)
    dtype = jnp.result_type(float)
    seen = jnp.asarray(observations, dtype)
    if isinstance(features, TileCoding) and features.size > _MANY:
        _require_rows(features, len(seen), features.tilings)
        active = np.asarray(jax.vmap(features.active)(seen))
        return TileValues(active, features.size, float(scale[0]))
    _require_rows(features, len(seen), features.size)
    return LinearValues(np.asarray(jax.vmap(features)(seen)), scale.astype(dtype))


def network_values(
    observations: Float[AnyArray, "states dims"], *, hidden_sizes: tuple[int, ...] = (32, 32)
) -> NetworkValues:
    """A network of the observations, each dimension scaled to [−1, 1].

    **Raises:** `ValueError` for a layer without units.
    """
    low, high = observations.min(axis=0), observations.max(axis=0)
    span = np.where(high > low, high - low, 1)
    inputs = 2 * (np.asarray(observations) - low) / span - 1
    return NetworkValues(inputs.astype(jnp.result_type(float)), hidden_sizes)


def _require_rows(features: AbstractFeatures, states: int, width: int) -> None:
    if states * width > MAX_NUMBERS:
        raise ValueError(
            f"{type(features).__name__} of {features.size:,} features has {states * width:,} "
            f"numbers, {width:,} for each of {states:,} states, and at most {MAX_NUMBERS:,} can "
            "be: all are read after each episode. Lower the number of features."
        )


def _check_dims(features: AbstractFeatures, observations: Float[AnyArray, "states dims"]) -> None:
    if observations.ndim != 2 or observations.shape[1] != features.dims:
        raise ValueError(
            f"features of the wrong width: they are of observations of {features.dims} numbers; "
            f"`observations` has shape {observations.shape}, of states and numbers."
        )
    if isinstance(features, FeatureTable) and observations.max() >= len(features.matrix):
        raise ValueError(
            f"features of the wrong width: `matrix` has {len(features.matrix)} rows, and the "
            f"states go up to {observations.max():g}."
        )
