"""Past experience, drawn again at random."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from .. import validate
from ..nn.policies import AbstractBehaviour
from ..types import Scalar, Transition
from .n_step import n_step
from .protocol import AbstractSource


class Replay(AbstractSource):
    """A ring of the last `capacity` steps; each iteration adds a gather and draws minibatches.

    Each of the `num_updates` minibatches of an iteration is a fresh draw of `batch_size` steps,
    uniform with replacement. The ring is laid out `[time, env]`. Before learning, `explorer`
    gathers at least `warmup_steps` steps. `capacity` and `warmup_steps` are rounded up to whole
    gathers. A step drawn brings the rewards of `num_return_steps` steps from it on, see `n_step`;
    more than one are for an algorithm that reads `Replayed`, as DQN does.
    """

    collector: AbstractSource
    explorer: AbstractBehaviour
    capacity: int
    batch_size: int
    num_updates: int
    warmup_steps: int
    num_return_steps: int = 1
    discount: Scalar = 1.0  # γ between the rewards of one return

    def __check_init__(self):
        for name in ("capacity", "batch_size", "num_updates", "warmup_steps"):
            validate.count(name, getattr(self, name))
        validate.count("num_return_steps", self.num_return_steps)
        validate.unit_interval("discount", self.discount)
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

    def resume(self, state: Any, memory: Transition, behaviour: Any) -> tuple[Any, Transition]:
        state, memory = self.collector.resume(state, memory, behaviour)
        return (state, self._cut(memory, state.steps)) if self.on_host else (state, memory)

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
        start = self.first_row(memory, index)

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
        num_envs = gathered.reward.shape[1]
        filled = self.num_filled(memory, index)
        draw = jr.randint(key, (self.num_updates, self.batch_size), 0, filled)
        row, env = draw // num_envs, draw % num_envs
        if self.num_return_steps == 1:
            return jax.tree.map(lambda ring: ring[row, env], memory)
        return self.looked_up(memory, row, env, index=index)

    def looked_up(
        self,
        memory: Transition,
        row: Int[Array, "*batch"],
        env: Int[Array, "*batch"],
        *,
        index: Int[Array, ""],
    ) -> Transition:
        """The steps at these places after gather `index`, with their returns' rewards."""
        rows, gathered_rows = memory.reward.shape[0], self._rows_per_gather(memory)
        return n_step(
            memory,
            row,
            env,
            newest=(self.first_row(memory, index) + gathered_rows - 1) % rows,
            num_steps=self.num_return_steps,
            discount=self.discount,
        )

    def first_row(self, memory: Transition, index: Int[Array, ""]) -> Int[Array, ""]:
        """Where gather `index` is written: the ring is a multiple of a gather, no write wraps."""
        rows, size = memory.reward.shape[0], self._rows_per_gather(memory)
        return (index % (rows // size)) * size

    def num_filled(self, memory: Transition, index: Int[Array, ""]) -> Int[Array, ""]:
        """How many steps are stored after gather `index`."""
        rows, num_envs = memory.reward.shape
        return jnp.minimum((index + 1) * self._rows_per_gather(memory), rows) * num_envs

    def _rows_per_gather(self, memory: Transition) -> int:
        return self.steps_per_gather // memory.reward.shape[-1]

    def _cut(self, memory: Transition, steps: np.ndarray) -> Transition:
        """Truncate the newest steps of every seed: other episodes will be stored after them."""
        newest = (int(steps[0]) // memory.reward.shape[-1] - 1) % memory.reward.shape[-2]
        truncated = np.array(memory.truncated)
        truncated[:, newest] |= ~np.asarray(memory.terminated)[:, newest]
        return eqx.tree_at(lambda m: m.truncated, memory, truncated)
