r"""Prediction in an environment: values of the policy that acts in it, of what is observed.

The policy is given, so that an episode does not depend on what is learned from it: it is run first,
and the methods of `td.prediction` then learn from its steps in their order. To them the episode is
a chain of states, numbered by time.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from ... import validate
from ...devices import spread
from ...envs.protocol import AbstractEnvironment
from ...free_memory import require_room
from ...types import AnyArray
from ..control.linear_run import check_numbers, observed_range
from ..steps.dynamics import Experience
from ..values.features import AbstractFeatures, nonzero
from ..values.state_values import AbstractValues, NetworkValues
from .one_step import AbstractPredictor, Estimate


class AbstractFunction(eqx.Module):
    """A function of an observation, up to its weights."""

    @property
    @abc.abstractmethod
    def dims(self) -> int:
        """How many numbers an observation has."""

    @abc.abstractmethod
    def over(self, observations: Float[Array, "times dims"]) -> AbstractValues:
        """Its values at these observations, numbered from 0."""


class LinearFunction(AbstractFunction):
    r"""$\hat v(s, w) = w^\top x(s)$; a step is scaled by the features, as in control."""

    features: AbstractFeatures
    """x."""

    @property
    def dims(self) -> int:
        return self.features.dims

    def over(self, observations: Float[Array, "times dims"]) -> "ObservedValues":
        return ObservedValues(observations, self.features)


class NetworkFunction(AbstractFunction):
    """A multilayer perceptron, tanh between its layers, of the observation scaled to [−1, 1].

    **Raises:** `ValueError` for `low` not below `high`, and for a layer without units.
    """

    low: tuple[float, ...]
    """The least value of each dimension."""
    high: tuple[float, ...]
    """The greatest."""
    hidden_sizes: tuple[int, ...] = (32, 32)
    """Units of each hidden layer."""

    def __check_init__(self):
        if len(self.low) != len(self.high) or not np.all(np.less(self.low, self.high)):
            raise ValueError(f"`low` must be below `high`; got {self.low} and {self.high}.")
        for size in self.hidden_sizes:
            validate.count("hidden_sizes", size)

    @property
    def dims(self) -> int:
        return len(self.low)

    def over(self, observations: Float[Array, "times dims"]) -> NetworkValues:
        low, high = (jnp.asarray([x], observations.dtype) for x in (self.low, self.high))
        return NetworkValues(2 * (observations - low) / (high - low) - 1, self.hidden_sizes)


class ObservedValues(AbstractValues):
    r"""$w^\top x(s)$ of a list of observations; features are computed when they are asked for."""

    observations: Float[Array, "times dims"]
    features: AbstractFeatures

    @property
    def num_states(self) -> int:
        return len(self.observations)

    @property
    def separate(self) -> bool:
        return False

    def init(self, key: PRNGKeyArray) -> Float[Array, " features"]:
        del key
        return jnp.zeros(self.features.size, self.observations.dtype)

    def value(self, weights: Float[Array, " features"], state: Int[Array, ""]) -> Float[Array, ""]:
        index, value = nonzero(self.features, self.observations[state])
        return jnp.sum(weights[index] * value)

    def values(self, weights: Float[Array, " features"]) -> Float[Array, " times"]:
        return lax.map(lambda t: self.value(weights, t), jnp.arange(self.num_states))

    def moved(
        self, weights: Float[Array, " features"], state: Int[Array, ""], step: Float[Array, ""]
    ) -> Float[Array, " features"]:
        index, value = nonzero(self.features, self.observations[state])
        scale = jnp.asarray(self.features.step_scale, weights.dtype)[index]
        return weights.at[index].add(step * scale * value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvironmentPrediction:
    """What was learned; `lengths` and `truncated` are of the episodes, the same for all sizes."""

    function: AbstractFunction
    step_sizes: tuple[float, ...]
    weights: Any  # of every step size and seed
    lengths: Int[np.ndarray, "seeds episodes"]
    truncated: Bool[np.ndarray, "seeds episodes"]

    def values(
        self, observations: Float[AnyArray, "points dims"]
    ) -> Float[np.ndarray, "step_sizes seeds points"]:
        r"""$\hat v$ at these observations, as each run has learned it."""
        points = jnp.asarray(observations, jnp.result_type(float))
        one = lambda weights: self.function.over(points).values(weights)
        return np.asarray(jax.jit(jax.vmap(jax.vmap(one)))(self.weights))


def predict_environment(
    method: AbstractPredictor,
    environment: AbstractEnvironment,
    function: AbstractFunction,
    *,
    step_sizes: Sequence[float],
    discount: float = 1.0,
    episodes: int = 500,
    seeds: int = 10,
    seed: int = 0,
    max_steps: int = 10_000,
) -> EnvironmentPrediction:
    r"""Learn $\hat v(s, w)$ of the policy in `environment`: semi-gradient TD or gradient MC.

    Sutton and Barto (2018), sections 9.3 and 9.4. All step sizes meet the same episodes.

    **Arguments:** `method`: `TD0`, `NStepTD` or `MonteCarlo`, this one with every visit and, as a
    rule, `step_decay=0`; its own step size is not used. `environment`: one with a single action,
    `FixedPolicyEnvironment`. `max_steps`: an episode is truncated after so many.
    **Raises:** `ValueError` for a number out of range, an environment in which there is something
    to choose, a function of observations of another width, and more than there is room for.
    """
    validate.instance("method", method, AbstractPredictor)
    validate.instance("function", function, AbstractFunction)
    check_numbers(step_sizes, discount, episodes=episodes, seeds=seeds, max_steps=max_steps)
    validate.whole_seed("seed", seed)
    width = _checked_width(environment, function)
    require_room(
        4 * (max_steps + 1) * (width + 4) * len(step_sizes) * seeds,
        what=f"`max_steps` {max_steps:,}",
        detail="an episode's observations and rewards for each run",
        lower="`max_steps`, `seeds` or the number of `step_sizes`",
    )

    def run(step_size, key):
        sized = eqx.tree_at(lambda method: method.step_size, method, step_size)
        first_key, key = jr.split(key)
        empty = function.over(jnp.zeros((max_steps + 1, width)))
        estimate = sized.init(empty, empty.init(first_key), max_steps=max_steps)

        def learn(estimate, key):
            path = _episode(environment, key, max_steps, width)
            values = function.over(path.observations)
            return _learned(estimate, path, sized, values, discount), (path.length, path.truncated)

        estimate, seen = lax.scan(learn, estimate, jr.split(key, episodes))
        return estimate.weights, seen

    keys = jr.split(jr.key(seed), seeds)
    sizes = jnp.repeat(jnp.asarray(step_sizes, jnp.result_type(float)), seeds)
    repeated: Key[Array, " runs"] = keys[jnp.tile(jnp.arange(seeds), len(step_sizes))]
    found = jax.jit(spread(run, len(sizes), shared=0))(sizes, repeated)
    shaped = lambda x: np.asarray(x).reshape(len(step_sizes), seeds, *x.shape[1:])
    weights, (lengths, truncated) = jax.tree.map(shaped, found)
    return EnvironmentPrediction(
        function=function,
        step_sizes=tuple(step_sizes),
        weights=weights,
        lengths=lengths[0],
        truncated=truncated[0],
    )


class _Path(NamedTuple):
    """An episode under way or at its end, its rows beyond `length` without meaning."""

    observations: Float[Array, "times dims"]
    rewards: Float[Array, " steps"]
    length: Int[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


def _episode(
    environment: AbstractEnvironment, key: Key[Array, ""], max_steps: int, width: int
) -> _Path:
    state, observation = environment.reset(key)
    seen, no = jnp.zeros((max_steps + 1, width)), jnp.asarray(False)
    start = _Path(
        seen.at[0].set(jnp.ravel(observation)), jnp.zeros(max_steps), jnp.int32(0), no, no
    )

    def step(carry):
        state, path = carry
        state, after = environment.step(state, jnp.int32(0))
        t = path.length
        cut = (after.truncated | (t + 1 >= max_steps)) & ~after.terminated
        return state, _Path(
            path.observations.at[t + 1].set(jnp.ravel(after.observation)),
            path.rewards.at[t].set(after.reward),
            t + 1,
            after.terminated,
            cut,
        )

    going = lambda carry: ~(carry[1].terminated | carry[1].truncated)
    return lax.while_loop(going, step, (state, start))[1]


def _learned(
    estimate: Estimate,
    path: _Path,
    method: AbstractPredictor,
    values: AbstractValues,
    discount: float,
) -> Estimate:
    """After all steps of the episode."""

    def observe(t, estimate):
        last = t == path.length - 1
        ends = last & path.terminated, last & path.truncated
        seen = Experience(t, jnp.int32(0), path.rewards[t], t + 1, *ends)
        return method.observe(estimate, seen, discount, values)

    return lax.fori_loop(0, path.length, observe, estimate)


def _checked_width(environment: AbstractEnvironment, function: AbstractFunction) -> int:
    if getattr(environment.action_space, "n", None) != 1:
        raise ValueError(
            f"prediction needs an environment in which nothing is left to choose, as Followed; got "
            f"actions {environment.action_space}."
        )
    width = len(observed_range(environment)[0])
    if function.dims != width:
        raise ValueError(
            f"features of the wrong width: the function is of observations of {function.dims} "
            f"numbers, and those of this environment have {width}."
        )
    return width
