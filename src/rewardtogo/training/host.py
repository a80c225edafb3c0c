"""`Loop` over all seeds where the environments live in Python and everything else is compiled."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key, PyTree, UInt32

from ..devices import spread
from ..nn.policies import AbstractBehaviour
from ..sources.protocol import priorities_of, with_priorities
from .compiled import Program, shape_and_static
from .loop import Loop, Totals, TrainState, drained, warmup_gathers


class CompiledBehaviour:
    """A behaviour for gatherers on the host: one compiled call acts for every seed.

    Plain `jax.jit` over a list of arrays, with keys as bare numbers: to flatten modules at every
    step costs 100 µs, a filtered call 40, typed keys another ten.
    """

    def __init__(
        self, build: Callable[[PyTree], AbstractBehaviour], arrays: PyTree, *, num_seeds: int
    ):
        self._leaves, tree = jax.tree.flatten(arrays)

        def act(num_steps, leaves, observation, memory, key_data, time):
            arrays = jax.tree.unflatten(tree, leaves)
            one = lambda arrays, observation, memory, key_data, time: build(arrays).act(
                observation, memory, key=jr.split(jr.wrap_key_data(key_data), num_steps)[time]
            )
            every = spread(one, num_seeds, shared=1)
            return every(arrays, observation, memory, key_data, time)

        self._act = jax.jit(act, static_argnums=0)
        memories = spread(lambda arrays: build(arrays).initial_carry(), num_seeds, shared=0)
        self.initial_carry = jax.jit(memories)(arrays)

    def with_parameters(self, arrays: PyTree) -> "CompiledBehaviour":
        """Act with these from now on."""
        self._leaves = jax.tree.leaves(arrays)
        return self

    def act(
        self,
        observation: PyTree,
        memory: PyTree,
        *,
        key_data: UInt32[Array, "seed words"],
        time: int,
        num_steps: int,
    ) -> tuple[Any, Any, Any]:
        """Action, record and memory, `[seed, env]`, at step `time` of a gather of `num_steps`."""
        return self._act(num_steps, self._leaves, observation, memory, key_data, np.int32(time))


def host_program(loop: Loop, keys: Key[Array, " seed"]) -> Program:
    """Python steps the environments, around one compiled policy call and one compiled update."""
    source, over_seeds = loop.source, ft.partial(spread, num_seeds=len(keys))
    _, static = shape_and_static(loop.init_algorithm, keys[0])

    def build(arrays: PyTree) -> AbstractBehaviour:
        return loop.algorithm.behaviour(eqx.combine(arrays, static))

    def learn(algorithm, priorities, memory, gathered, key, index):
        state, memory = eqx.combine(algorithm, static), with_priorities(memory, priorities)
        state, priorities, metrics = loop.learn(state, memory, gathered, index, key)
        return eqx.filter(state, eqx.is_array), priorities, metrics

    init_algorithm = jax.jit(
        over_seeds(lambda key: eqx.filter(loop.init_algorithm(key), eqx.is_array), shared=0)
    )
    gather_key = jax.jit(
        jax.vmap(lambda key, index: jr.key_data(loop.keys(key, index)[0]), (0, None))
    )
    empty_memory = jax.jit(over_seeds(source.empty_memory, shared=0))
    # Batched and by itself, a buffer is written in place. Seed by seed, or in one program with
    # what reads from it, it was copied at each step: 80 ms for a million steps.
    compiled_absorb = jax.jit(
        jax.vmap(lambda m, g, index: source.absorb(m, g, index=index), (0, 0, None)),
        donate_argnums=0,
    )
    compiled_learn = jax.jit(over_seeds(learn, shared=1), donate_argnums=1)
    acting = CompiledBehaviour(build, init_algorithm(keys), num_seeds=len(keys))

    def explored(gathers: int) -> TrainState:
        """The state after `gathers` gathers with the explorer, where the source asks for any."""
        gatherer, memory = source.init(acting, key=keys), ()
        if source.warmup is None:
            return TrainState(init_algorithm(keys), gatherer, memory)
        explore = source.warmup[0]
        explorer = CompiledBehaviour(lambda _: explore, jnp.zeros(len(keys)), num_seeds=len(keys))
        for index in range(gathers):
            key = gather_key(keys, np.int32(index))
            gatherer, gathered = source.gather(gatherer, explorer, key=key)
            memory = memory if index else empty_memory(gathered)
            memory = compiled_absorb(memory, gathered, np.int32(index))
        return TrainState(init_algorithm(keys), gatherer, memory)

    def chunk(state: TrainState, first: int, last: int, total_steps: int):
        state = drained(state)
        algorithm, gatherer, memory = state.algorithm, state.gatherer, state.memory
        rows = []
        for index in range(first, last):
            key = gather_key(keys, np.int32(index))
            behaviour = acting.with_parameters(algorithm)
            gatherer, gathered = source.gather(gatherer, behaviour, key=key)
            if jax.tree.leaves(memory):
                memory = compiled_absorb(memory, gathered, np.int32(index))
            priorities, memory = priorities_of(memory), with_priorities(memory, ())
            algorithm, priorities, metrics = compiled_learn(
                algorithm, priorities, memory, gathered, keys, np.int32(index)
            )
            memory = with_priorities(memory, priorities)
            rows.append(metrics)
            if source.steps_per_gather is None and np.all(gatherer.steps >= total_steps):
                break
        return TrainState(algorithm, gatherer, memory), _summed(rows, first)

    def resume(state: TrainState) -> TrainState:
        return TrainState(state.algorithm, *source.resume(state.gatherer, state.memory, acting))

    return Program(
        init=lambda: explored(warmup_gathers(source)),
        chunk=chunk,
        # One gather shows what a memory looks like; it is undone by `resume`.
        template=lambda: explored(1),
        resume=resume,
    )


def _summed(rows: list[dict[str, Array]], first: int) -> Totals:
    """The iterations' metrics, summed here: to read them earlier would wait for the device."""
    stacked = jax.tree.map(lambda *xs: np.stack([np.asarray(x) for x in xs]), *rows)
    bad = ~np.all(np.isfinite(np.stack(list(stacked.values()))), axis=0)  # [iteration, seed]
    return Totals(
        {name: values.sum(axis=0) for name, values in stacked.items()},
        np.full(bad.shape[1], len(rows)),
        np.where(bad.any(axis=0), first + bad.argmax(axis=0), -1),
    )
