"""Past experience, drawn again at random."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, PRNGKeyArray

from .. import validate
from ..nn.policies import AbstractBehaviour
from ..types import Transition
from .protocol import AbstractSource


class Replay(AbstractSource):
    """A ring of the last `capacity` steps; each iteration adds a gather and draws minibatches.

    Each of the `num_updates` minibatches of an iteration is a fresh draw of `batch_size` steps,
    uniform with replacement. The ring is laid out `[time, env]`. Before learning, `explorer`
    gathers at least `warmup_steps` steps. `capacity` and `warmup_steps` are rounded up to whole
    gathers.
    """

    collector: AbstractSource
    explorer: AbstractBehaviour
    capacity: int
    batch_size: int
    num_updates: int
    warmup_steps: int

    def __check_init__(self):
        for name in ("capacity", "batch_size", "num_updates", "warmup_steps"):
            validate.count(name, getattr(self, name))
        if self.warmup_steps > self.capacity:
            raise ValueError(
                f"`warmup_steps` ({self.warmup_steps}) exceeds `capacity` ({self.capacity})."
            )

    @property
    def on_host(self) -> bool:
        return self.collector.on_host

    @property
    def steps_per_gather(self) -> int:
        steps = self.collector.steps_per_gather
        assert steps is not None, "a replay buffer needs gathers of one size"
        return steps

    @property
    def warmup(self) -> tuple[AbstractBehaviour, int]:
        return self.explorer, math.ceil(self.warmup_steps / self.steps_per_gather)

    # `behaviour` and `key` are what the collector takes: on the host, not those of a program.
    def init(self, behaviour: Any, *, key: Any) -> Any:
        return self.collector.init(behaviour, key=key)

    def resume(self, state: Any, behaviour: Any) -> Any:
        return self.collector.resume(state, behaviour)

    def gather(self, state: Any, behaviour: Any, *, key: Any) -> tuple[Any, Transition]:
        state, rollout = self.collector.gather(state, behaviour, key=key)
        # The records of explorer and policy may differ, and no off-policy update reads them.
        return state, eqx.tree_at(lambda t: t.record, rollout, (), is_leaf=lambda x: x is None)

    def empty_memory(self, gathered: Transition) -> Transition:
        gathers = math.ceil(self.capacity / self.steps_per_gather)

        def ring(x):
            return jnp.zeros((gathers * x.shape[0], *x.shape[1:]), x.dtype)

        return jax.tree.map(ring, gathered)

    def absorb(
        self, memory: Transition, gathered: Transition, *, index: Int[Array, ""]
    ) -> Transition:
        rows, size = memory.reward.shape[0], gathered.reward.shape[0]
        start = (index % (rows // size)) * size  # `rows` is a multiple of `size`: no wrap inside

        def write(ring, new):
            return lax.dynamic_update_slice_in_dim(ring, new, start, axis=0)

        # Without the barrier XLA fuses the write into the draw, and copies whole rings to do so.
        return lax.optimization_barrier(jax.tree.map(write, memory, gathered))

    def batches(
        self,
        memory: Transition,
        gathered: Transition,
        *,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> Transition:
        rows, num_envs = memory.reward.shape
        filled = jnp.minimum((index + 1) * gathered.reward.shape[0], rows) * num_envs
        draw = jr.randint(key, (self.num_updates, self.batch_size), 0, filled)
        row, env = draw // num_envs, draw % num_envs
        return jax.tree.map(lambda ring: ring[row, env], memory)
