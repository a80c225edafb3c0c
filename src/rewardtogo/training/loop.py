"""One seed's training as pure functions, without a word on seeds, devices or reports."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from .._scan import filter_scan
from ..algorithms.protocol import AbstractAlgorithm, AnyLearner, error_learner
from ..nn.policies import AbstractBehaviour
from ..sources.collectors.absent import NoCollector
from ..sources.protocol import BufferState, Source
from ..types import AnyArray


# Folded into a seed's key beside the numbers of its gathers, which count up from 0.
MODELS, ENVIRONMENTS = 2**32 - 1, 2**32 - 2


class TrainState(eqx.Module):
    """Everything that changes during training; with seeds, every array has them as first axis."""

    learner: PyTree  # parameters, optimiser states, statistics
    collector: PyTree  # environments in the middle of their episodes
    buffer: BufferState


class Totals(eqx.Module):
    """Sums of a learner's metrics over the iterations of a report."""

    metrics: dict[str, Float[AnyArray, "*seed"]]
    iterations: Int[AnyArray, "*seed"]
    bad_iteration: Int[AnyArray, "*seed"]  # the first with a metric that is not finite, else −1


class Loop(eqx.Module):
    """One seed's training as pure functions; `train` compiles them over all seeds at once.

    **Raises:** `ValueError` if the buffer needs errors that the learner does not tell, or if the
    source acts and the learner cannot.
    """

    learner: AnyLearner
    source: Source
    models: Callable[[PRNGKeyArray], Any] = eqx.field(static=True)

    def __check_init__(self):
        if self.source.buffer.needs_errors:
            error_learner(self.learner)
        acts = isinstance(self.learner, AbstractAlgorithm)
        if not acts and not isinstance(self.source.collector, NoCollector):
            name = type(self.learner).__name__
            raise ValueError(f"{name} does not act: it learns from data, not from an environment.")

    def keys(self, key: PRNGKeyArray, index: Int[Array, ""]) -> Key[Array, "3"]:
        """The keys of gather number `index`: to act, to draw batches, to update."""
        return jr.split(jr.fold_in(key, index), 3)

    def behaviour(self, learner_state: PyTree) -> AbstractBehaviour | None:
        """How experience is gathered by what was learned so far; None where nothing acts."""
        learner = self.learner
        return learner.behaviour(learner_state) if isinstance(learner, AbstractAlgorithm) else None

    def init_learner(self, key: PRNGKeyArray) -> PyTree:
        """The learner's state before any data."""
        return self.learner.init(self.models(jr.fold_in(key, MODELS)))

    def init_collector(self, learner_state: PyTree, key: PRNGKeyArray) -> PyTree:
        """Environments, reset."""
        behaviour = self.behaviour(learner_state)
        return self.source.collector.init(behaviour, key=jr.fold_in(key, ENVIRONMENTS))

    def gather(
        self,
        collector: PyTree,
        behaviour: AbstractBehaviour | None,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[PyTree, PyTree]:
        """Gather number `index`."""
        return self.source.collector.gather(collector, behaviour, key=self.keys(key, index)[0])

    def init(self, key: PRNGKeyArray) -> TrainState:
        """Build models, reset environments, gather the warm-up."""
        learner = self.init_learner(key)
        collector = self.init_collector(learner, key)
        first = jnp.zeros((), jnp.int32)
        _, gathered = eqx.filter_eval_shape(
            self.gather, collector, self.behaviour(learner), first, key
        )
        buffer = self.source.buffer.init(gathered)
        if self.source.warmup is None:
            return TrainState(learner, collector, buffer)
        explorer = self.source.warmup.behaviour

        def warm(carry, index):
            collector, buffer = carry
            collector, gathered = self.gather(collector, explorer, index, key)
            return (collector, self.source.buffer.add(buffer, gathered, index=index)), None

        indices = jnp.arange(self.source.warmup_gathers, dtype=jnp.int32)
        (collector, buffer), _ = filter_scan(warm, (collector, buffer), indices)
        return TrainState(learner, collector, buffer)

    def learn(
        self,
        learner: PyTree,
        state: BufferState,
        gathered: PyTree,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[PyTree, PyTree, dict[str, Float[Array, ""]]]:
        """The updates of an iteration, from a buffer to which what was gathered has been added.

        Returns what they changed of the buffer beside the learner's state.
        """
        buffer = self.source.buffer
        _, batch_key, update_key = self.keys(key, index)
        plans = buffer.plan(state, gathered, index=index, key=batch_key)
        num_updates = jax.tree.leaves(plans)[0].shape[0]

        def update(carry, xs):
            learner, changing = carry
            plan, key = xs
            batch, place = buffer.draw(BufferState(state.held, changing), plan, index=index)
            learner, metrics, error = self._update(learner, batch, key)
            return (learner, buffer.learned(changing, place, error)), metrics

        (learner, changing), metrics = filter_scan(
            update, (learner, state.changing), (plans, jr.split(update_key, num_updates))
        )
        return learner, changing, jax.tree.map(lambda m: jnp.mean(m, axis=0), metrics)

    def _update(self, state: PyTree, batch: PyTree, key: PRNGKeyArray) -> tuple[Any, Any, Any]:
        if self.source.buffer.needs_errors:
            return error_learner(self.learner).update_with_errors(state, batch, key=key)
        state, metrics = self.learner.update(state, batch, key=key)
        return state, metrics, None

    def iterate(
        self, state: TrainState, index: Int[Array, ""], key: PRNGKeyArray
    ) -> tuple[TrainState, dict[str, Float[Array, ""]]]:
        """One iteration: gather, add, update."""
        behaviour = self.behaviour(state.learner)
        collector, gathered = self.gather(state.collector, behaviour, index, key)
        buffer = self.source.buffer.add(state.buffer, gathered, index=index)
        learner, changing, metrics = self.learn(state.learner, buffer, gathered, index, key)
        return TrainState(learner, collector, BufferState(buffer.held, changing)), metrics

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
            if self.source.collector.per_gather is not None:
                return after, counted
            # Seeds take steps at their own pace here: one that has taken its share stands still.
            going = state.collector.progress < total_steps
            pick = lambda new, old: jax.tree.map(lambda a, b: select(going, a, b), new, old)
            return pick(after, dynamic), pick(counted, totals)

        dynamic, totals = lax.fori_loop(first, last, body, (dynamic, totals))
        return eqx.combine(dynamic, static), totals


def select(choose: Bool[Array, ""], new: Array, old: Array) -> Array:
    """`jnp.where` that takes typed keys too."""
    return lax.select(jnp.broadcast_to(choose, new.shape), new, old)


def drained(state: TrainState) -> TrainState:
    """Forget the episodes that the last report counted."""
    return eqx.tree_at(
        lambda s: s.collector.statistics, state, state.collector.statistics.drained()
    )


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
