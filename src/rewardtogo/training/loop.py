"""One seed's training as pure functions, without a word on seeds, devices or reports."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from .._scan import filter_scan
from ..algorithms.protocol import AnyAlgorithm, error_learner
from ..nn.policies import AbstractBehaviour
from ..sources.protocol import (
    AbstractPrioritisedSource,
    AbstractSource,
    priorities_of,
    with_priorities,
)
from ..types import AnyArray


# Folded into a seed's key beside the numbers of its gathers, which count up from 0.
MODELS, ENVIRONMENTS = 2**32 - 1, 2**32 - 2


class TrainState(eqx.Module):
    """Everything that changes during training; with seeds, every array has them as first axis."""

    algorithm: PyTree  # parameters, optimiser states, statistics
    gatherer: PyTree  # environments in the middle of their episodes
    memory: PyTree  # the replay buffer


class Totals(eqx.Module):
    """Sums of an algorithm's metrics over the iterations of a report."""

    metrics: dict[str, Float[AnyArray, "*seed"]]
    iterations: Int[AnyArray, "*seed"]
    bad_iteration: Int[AnyArray, "*seed"]  # the first with a metric that is not finite, else −1


def num_gathers(source: AbstractSource, total_steps: int) -> int | None:
    """Iterations until `total_steps` steps, warm-up counted; None if not known ahead."""
    if source.steps_per_gather is None:
        return None
    gathers = math.ceil(total_steps / source.steps_per_gather)
    return max(gathers - warmup_gathers(source), 0)


def warmup_gathers(source: AbstractSource) -> int:
    """How many gathers precede the first update."""
    return 0 if source.warmup is None else source.warmup[1]


class Loop(eqx.Module):
    """One seed's training as pure functions; `train` compiles them over all seeds at once."""

    algorithm: AnyAlgorithm
    source: AbstractSource
    models: Callable[[PRNGKeyArray], Any] = eqx.field(static=True)

    def __check_init__(self):
        if isinstance(self.source, AbstractPrioritisedSource):
            error_learner(self.algorithm)

    def keys(self, key: PRNGKeyArray, index: Int[Array, ""]) -> Key[Array, "3"]:
        """The keys of gather number `index`: to act, to draw batches, to update."""
        return jr.split(jr.fold_in(key, index), 3)

    def init_algorithm(self, key: PRNGKeyArray) -> PyTree:
        return self.algorithm.init(self.models(jr.fold_in(key, MODELS)))

    def init_gatherer(self, algorithm_state: PyTree, key: PRNGKeyArray) -> PyTree:
        behaviour = self.algorithm.behaviour(algorithm_state)
        return self.source.init(behaviour, key=jr.fold_in(key, ENVIRONMENTS))

    def gather(
        self,
        gatherer: PyTree,
        behaviour: AbstractBehaviour,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[PyTree, PyTree]:
        return self.source.gather(gatherer, behaviour, key=self.keys(key, index)[0])

    def init(self, key: PRNGKeyArray) -> TrainState:
        """Build models, reset environments, gather the warm-up."""
        algorithm_state = self.init_algorithm(key)
        gatherer = self.init_gatherer(algorithm_state, key)
        behaviour = self.algorithm.behaviour(algorithm_state)
        first = jnp.zeros((), jnp.int32)
        _, gathered = eqx.filter_eval_shape(self.gather, gatherer, behaviour, first, key)
        memory = self.source.empty_memory(gathered)
        if self.source.warmup is None:
            return TrainState(algorithm_state, gatherer, memory)
        explorer, gathers = self.source.warmup

        def warm(carry, index):
            gatherer, memory = carry
            gatherer, gathered = self.gather(gatherer, explorer, index, key)
            return (gatherer, self.source.absorb(memory, gathered, index=index)), None

        indices = jnp.arange(gathers, dtype=jnp.int32)
        (gatherer, memory), _ = filter_scan(warm, (gatherer, memory), indices)
        return TrainState(algorithm_state, gatherer, memory)

    def learn(
        self,
        algorithm_state: PyTree,
        memory: PyTree,
        gathered: PyTree,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[PyTree, PyTree, dict[str, Float[Array, ""]]]:
        """The updates of an iteration, from a memory that has absorbed what was gathered.

        Returns the memory's priorities beside the algorithm's state, () where it has none.
        """
        _, batch_key, update_key = self.keys(key, index)
        stack = self.source.batches(memory, gathered, index=index, key=batch_key)
        num_updates = jax.tree.leaves(stack)[0].shape[0]

        def update(carry, xs):
            state, priorities = carry
            batch, key = xs
            if not isinstance(self.source, AbstractPrioritisedSource):
                state, metrics = self.algorithm.update(state, batch, key=key)
                return (state, priorities), metrics
            current = with_priorities(memory, priorities)
            batch, place = self.source.draw(current, batch, index=index)
            learner = error_learner(self.algorithm)
            state, metrics, error = learner.update_with_errors(state, batch, key=key)
            return (state, self.source.learned(priorities, place, error)), metrics

        (algorithm_state, priorities), metrics = filter_scan(
            update,
            (algorithm_state, priorities_of(memory)),
            (stack, jr.split(update_key, num_updates)),
        )
        metrics = jax.tree.map(lambda m: jnp.mean(m, axis=0), metrics)
        return algorithm_state, priorities, metrics

    def iterate(
        self, state: TrainState, index: Int[Array, ""], key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """One iteration: gather, absorb, update."""
        behaviour = self.algorithm.behaviour(state.algorithm)
        gatherer, gathered = self.gather(state.gatherer, behaviour, index, key)
        memory = self.source.absorb(state.memory, gathered, index=index)
        algorithm_state, priorities, metrics = self.learn(
            state.algorithm, memory, gathered, index, key
        )
        return TrainState(algorithm_state, gatherer, with_priorities(memory, priorities)), metrics

    def chunk(
        self,
        state: TrainState,
        key: PRNGKeyArray,
        first: Int[Array, ""],
        last: Int[Array, ""],
        total_steps: Int[Array, ""],
    ) -> tuple[TrainState, Totals]:
        """Iterations `first` to `last` − 1; their number is not compiled in."""
        state = drained(state)
        _, metrics = eqx.filter_eval_shape(self.iterate, state, first, key)
        totals = no_totals(metrics)
        dynamic, static = eqx.partition(state, eqx.is_array)

        def body(index, carry):
            dynamic, totals = carry
            state = eqx.combine(dynamic, static)
            after, metrics = self.iterate(state, index, key)
            after, counted = eqx.filter(after, eqx.is_array), add_totals(totals, metrics, index)
            if self.source.steps_per_gather is not None:
                return after, counted
            # Seeds take steps at their own pace here: one that has taken its share stands still.
            going = state.gatherer.steps < total_steps
            pick = lambda new, old: jax.tree.map(lambda a, b: select(going, a, b), new, old)
            return pick(after, dynamic), pick(counted, totals)

        dynamic, totals = lax.fori_loop(first, last, body, (dynamic, totals))
        return eqx.combine(dynamic, static), totals


def select(choose: Bool[Array, ""], new: Array, old: Array) -> Array:
    """`jnp.where` that takes typed keys too."""
    return lax.select(jnp.broadcast_to(choose, new.shape), new, old)


def drained(state: TrainState) -> TrainState:
    """Forget the episodes that the last report counted."""
    return eqx.tree_at(lambda s: s.gatherer.tally, state, state.gatherer.tally.drained())


def no_totals(metrics: dict[str, Any]) -> Totals:
    """Nothing summed yet; `metrics` shows names and dtypes only."""
    zeros = {name: jnp.zeros(m.shape, m.dtype) for name, m in metrics.items()}
    return Totals(zeros, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32))


def add_totals(
    totals: Totals, metrics: dict[str, Float[Array, ""]], index: Int[Array, ""]
) -> Totals:
    """Count one iteration, and note whether it is the first with a number that is not finite."""
    finite = jnp.all(jnp.isfinite(jnp.stack([m.astype(jnp.float32) for m in metrics.values()])))
    is_first = (totals.bad_iteration < 0) & ~finite
    return Totals(
        {name: totals.metrics[name] + metrics[name] for name in metrics},
        totals.iterations + 1,
        jnp.where(is_first, index, totals.bad_iteration).astype(jnp.int32),
    )
