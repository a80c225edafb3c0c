"""`Loop` over all seeds where the environments live in Python and everything else is compiled."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray, PyTree, UInt32

from ..devices import spread
from ..nn.policies import AbstractBehaviour
from ..sources.protocol import BufferState
from .compiled import Program, shape_and_static
from .loop import Loop, Totals, TrainState, drained
from .shared import SharedArrays, with_shared


# Folded into a seed's key where a screening gathers anew, apart from the numbers of gathers.
AGAIN = 2**32 - 3


class CompiledBehaviour:
    """A behaviour for gatherers on the host: one compiled call acts for every seed.

    Plain `jax.jit` over a list of arrays, with keys as bare numbers: to flatten modules at every
    step costs 100 µs, a filtered call 40, typed keys another ten.
    """

    def __init__(
        self, build: Callable[[PyTree], AbstractBehaviour], arrays: PyTree, *, num_seeds: int
    ):
        self._leaves, tree = jax.tree.flatten(arrays)

        def act(num_steps, leaves, observation, carry, key_data, time):
            arrays = jax.tree.unflatten(tree, leaves)
            one = lambda arrays, observation, carry, key_data, time: build(arrays).act(
                observation, carry, key=jr.split(jr.wrap_key_data(key_data), num_steps)[time]
            )
            every = spread(one, num_seeds, shared=1)
            return every(arrays, observation, carry, key_data, time)

        self._act = jax.jit(act, static_argnums=0)
        carries = spread(lambda arrays: build(arrays).initial_carry(), num_seeds, shared=0)
        self.initial_carry = jax.jit(carries)(arrays)

    def with_parameters(self, arrays: PyTree) -> "CompiledBehaviour":
        """Act with these from now on."""
        self._leaves = jax.tree.leaves(arrays)
        return self

    def act(
        self,
        observation: PyTree,
        carry: PyTree,
        *,
        key_data: UInt32[Array, "seed words"],
        time: int,
        num_steps: int,
    ) -> tuple[Any, Any, Any]:
        """Action, record and carry, `[seed, env]`, at step `time` of a gather of `num_steps`."""
        return self._act(num_steps, self._leaves, observation, carry, key_data, np.int32(time))


def host_program(loop: Loop, keys: Key[Array, " seed"]) -> Program:
    """Python steps the environments, around one compiled policy call and one compiled update."""
    return _HostProgram(loop, keys).program()


class _HostProgram:
    """The compiled parts of a loop on the host, and the Python between them."""

    def __init__(self, loop: Loop, keys: Key[Array, " seed"]):
        self._loop, self._source, self._keys = loop, loop.source, keys
        self._shared = SharedArrays(loop)
        self._static = shape_and_static(loop.init_learner, keys[0])[1]
        over_seeds = ft.partial(spread, num_seeds=len(keys))
        num_shared = len(self._shared.at(0))
        self._init_learner = jax.jit(over_seeds(self._initial, shared=num_shared))
        self._gather_key = jax.jit(
            jax.vmap(lambda key, index: jr.key_data(loop.keys(key, index)[0]), (0, None))
        )
        buffer = loop.source.buffer
        self._empty_buffer = jax.jit(over_seeds(buffer.init, shared=0))
        # Batched and by itself, a buffer is written in place. Seed by seed, or in one program with
        # what reads from it, it was copied at each step: 80 ms for a million steps.
        self._add = jax.jit(
            jax.vmap(lambda b, g, index: buffer.add(b, g, index=index), (0, 0, None)),
            donate_argnums=0,
        )
        self._learn = jax.jit(over_seeds(self._learned, shared=1 + num_shared), donate_argnums=1)
        self._acting = CompiledBehaviour(self._behaviour, self._first(), num_seeds=len(keys))

    def program(self) -> Program:
        """The four functions of it."""
        return Program(
            init=lambda: self._explored(self._source.warmup_gathers),
            chunk=self._chunk,
            # One gather shows what a buffer looks like; it is undone by `resume`.
            template=lambda: self._explored(1),
            resume=self._resumed,
            source=self._source,
        )

    def _initial(self, key: PRNGKeyArray, *ours: PyTree) -> PyTree:
        return eqx.filter(with_shared(self._loop, ours).init_learner(key), eqx.is_array)

    def _first(self) -> PyTree:
        return self._init_learner(self._keys, *self._shared.at(0))

    def _behaviour(self, arrays: PyTree) -> AbstractBehaviour:
        behaviour = self._loop.behaviour(eqx.combine(arrays, self._static))
        assert behaviour is not None
        return behaviour

    def _learned(self, learner, changing, held, gathered, key, index, *ours):
        state, loop = eqx.combine(learner, self._static), with_shared(self._loop, ours)
        buffer = BufferState(held, changing)
        state, changing, metrics = loop.learn(state, buffer, gathered, index, key)
        return eqx.filter(state, eqx.is_array), changing, metrics

    def _gathered(self, collector: PyTree, behaviour: Any, index: int) -> tuple[PyTree, PyTree]:
        """One gather, and what the source's screening makes of it."""
        key = self._gather_key(self._keys, np.int32(index))
        collector, gathered = self._source.collector.gather(collector, behaviour, key=key)
        if self._source.screening is None:
            return collector, gathered
        states = [collector]

        def again():
            turn = self._gather_key(jax.vmap(jr.fold_in, (0, None))(self._keys, AGAIN), len(states))
            state, more = self._source.collector.gather(states[-1], behaviour, key=turn)
            states.append(state)
            return more

        gathered = self._source.screening.screen(gathered, again)
        return states[-1], gathered

    def _explored(self, gathers: int) -> TrainState:
        """The state after `gathers` gathers with the explorer, where the source asks for any."""
        collector = self._source.collector.init(self._acting, key=self._keys)
        if self._source.warmup is None:
            return TrainState(self._first(), collector, BufferState(()))
        explore, seeds = self._source.warmup.behaviour, len(self._keys)
        explorer = CompiledBehaviour(lambda _: explore, jnp.zeros(seeds), num_seeds=seeds)
        buffer = BufferState(())
        for index in range(gathers):
            collector, gathered = self._gathered(collector, explorer, index)
            buffer = buffer if index else self._empty_buffer(gathered)
            buffer = self._add(buffer, gathered, np.int32(index))
        return TrainState(self._first(), collector, buffer)

    def _chunk(
        self, state: TrainState, first: int, last: int, total_steps: int
    ) -> tuple[TrainState, Totals]:
        state = drained(state)
        learner, collector, buffer = state.learner, state.collector, state.buffer
        rows = []
        for index in range(first, last):
            behaviour = self._acting.with_parameters(learner)
            collector, gathered = self._gathered(collector, behaviour, index)
            if jax.tree.leaves(buffer):
                buffer = self._add(buffer, gathered, np.int32(index))
            held, changing = buffer.held, buffer.changing
            learner, changing, metrics = self._learn(
                learner,
                changing,
                held,
                gathered,
                self._keys,
                np.int32(index),
                *self._shared.at(index),
            )
            buffer = BufferState(held, changing)
            rows.append(metrics)
            if self._source.collector.per_gather is None and np.all(
                collector.progress >= total_steps
            ):
                break
        return TrainState(learner, collector, buffer), _summed(rows, first)

    def _resumed(self, state: TrainState) -> TrainState:
        collector = self._source.collector.resume(state.collector, self._acting)
        buffer = self._source.buffer.interrupted(state.buffer, np.asarray(collector.progress))
        return TrainState(state.learner, collector, buffer)


def _summed(rows: list[dict[str, Array]], first: int) -> Totals:
    """The iterations' metrics, summed here: to read them earlier would wait for the device."""
    stacked = jax.tree.map(lambda *xs: np.stack([np.asarray(x) for x in xs]), *rows)
    bad = ~np.all(np.isfinite(np.stack(list(stacked.values()))), axis=0)  # [iteration, seed]
    return Totals(
        {name: values.sum(axis=0) for name, values in stacked.items()},
        np.full(bad.shape[1], len(rows)),
        np.where(bad.any(axis=0), first + bad.argmax(axis=0), -1),
    )
