"""Past experience, drawn again at random."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from ... import validate
from ...types import Scalar, Transition
from ..protocol import BufferState, UnchangedBuffer
from .n_step import n_step


class Ring(eqx.Module):
    """The last steps, `[row, env, ...]`; row 0 follows the last one."""

    steps: Transition
    gather_rows: int = eqx.field(static=True)  # of one gather: no write wraps

    def first_row(self, index: Int[Array, ""]) -> Int[Array, ""]:
        """Where gather `index` is written: the ring is a multiple of a gather."""
        rows = self.steps.reward.shape[0]
        return (index % (rows // self.gather_rows)) * self.gather_rows

    def num_filled(self, index: Int[Array, ""]) -> Int[Array, ""]:
        """How many steps are stored after gather `index`."""
        rows, num_envs = self.steps.reward.shape
        return jnp.minimum((index + 1) * self.gather_rows, rows) * num_envs


class Replay(UnchangedBuffer):
    """A ring of the last `capacity` steps, and `num_updates` minibatches an iteration.

    Each minibatch is a fresh draw of `batch_size` steps, uniform with replacement. The ring is laid
    out `[time, env]`; `capacity` is rounded up to whole gathers. A step drawn brings the rewards of
    `num_return_steps` steps from it on, see `n_step`; more than one are for an algorithm that reads
    `Replayed`, as DQN does. Records are not kept: no update reads those of other policies.
    """

    capacity: int
    batch_size: int
    num_updates: int
    num_return_steps: int = 1
    discount: Scalar = 1.0  # γ between the rewards of one return

    def __check_init__(self):
        for name in ("capacity", "batch_size", "num_updates"):
            validate.count(name, getattr(self, name))
        validate.count("num_return_steps", self.num_return_steps)
        validate.unit_interval("discount", self.discount)

    def init(self, gathered: Transition) -> BufferState:
        rows, num_envs = gathered.reward.shape
        gathers = math.ceil(self.capacity / (rows * num_envs))
        empty = lambda x: jnp.zeros((gathers * x.shape[0], *x.shape[1:]), x.dtype)
        return BufferState(Ring(jax.tree.map(empty, _unrecorded(gathered)), rows))

    def add(
        self, state: BufferState, gathered: Transition, *, index: Int[Array, ""]
    ) -> BufferState:
        ring: Ring = state.held
        start = ring.first_row(index)

        def write(ring, new):
            return lax.dynamic_update_slice_in_dim(ring, new, start, axis=0)

        written = jax.tree.map(write, ring.steps, _unrecorded(gathered))
        # Without the barrier XLA fuses the write into the draw, and copies whole rings to do so.
        return BufferState(Ring(lax.optimization_barrier(written), ring.gather_rows))

    def interrupted(self, state: BufferState, progress: np.ndarray) -> BufferState:
        """The newest steps of every seed are truncated."""
        steps = state.held.steps
        newest = (int(progress[0]) // steps.reward.shape[-1] - 1) % steps.reward.shape[-2]
        truncated = np.array(steps.truncated)
        truncated[:, newest] |= ~np.asarray(steps.terminated)[:, newest]
        return BufferState(
            Ring(dataclasses.replace(steps, truncated=truncated), state.held.gather_rows)
        )

    def plan(
        self,
        state: BufferState,
        gathered: Transition,
        *,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> Transition:
        ring, num_envs = state.held, gathered.reward.shape[1]
        draw = jr.randint(key, (self.num_updates, self.batch_size), 0, ring.num_filled(index))
        row, env = draw // num_envs, draw % num_envs
        if self.num_return_steps == 1:
            return jax.tree.map(lambda ring: ring[row, env], ring.steps)
        return self.looked_up(ring, row, env, index=index)

    def draw(
        self, state: BufferState, plan: Transition, *, index: Int[Array, ""]
    ) -> tuple[Transition, tuple[()]]:
        del state, index
        return plan, ()

    def looked_up(
        self,
        ring: Ring,
        row: Int[Array, "*batch"],
        env: Int[Array, "*batch"],
        *,
        index: Int[Array, ""],
    ) -> Transition:
        """The steps at these places after gather `index`, with their returns' rewards."""
        rows = ring.steps.reward.shape[0]
        return n_step(
            ring.steps,
            row,
            env,
            newest=(ring.first_row(index) + ring.gather_rows - 1) % rows,
            num_steps=self.num_return_steps,
            discount=self.discount,
        )


def _unrecorded(gathered: Transition) -> Transition:
    return eqx.tree_at(lambda t: t.record, gathered, (), is_leaf=lambda x: x is None)
