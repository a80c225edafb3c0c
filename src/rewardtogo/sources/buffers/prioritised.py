"""Past experience, drawn the more often the larger its last error was. Schaul et al. (2016)."""

from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ... import validate
from ...types import Scalar, Transition
from ..protocol import AbstractBuffer, BufferState
from .replay import Replay, Ring
from .sum_tree import SumTree, empty_tree, found, written


class Priorities(eqx.Module):
    tree: SumTree  # p of each step of the ring, row by row; 0 where nothing is stored
    greatest: Float[Array, ""]  # p of any step so far


class Chance(eqx.Module):
    """The random numbers of one minibatch, in [0, 1)."""

    coarse: Float[Array, "*updates batch"]
    fine: Float[Array, "*updates batch"]


class PrioritisedReplay(AbstractBuffer):
    r"""The ring of `replay`, whose steps are drawn in proportion to a priority:

    $$p_i = (|\delta_i| + \epsilon)^\alpha, \qquad P(i) = \frac{p_i}{\sum_j p_j}, \qquad
    w_i = \frac{(N\,P(i))^{-\beta}}{\max_j (N\,P(j))^{-\beta}}$$

    Schaul et al. (2016), algorithm 1, with the proportional priorities of section 3.3. δ is the
    error when the step was last learned from; a new step has the greatest p so far, 1 to begin
    with. The maximum is over the minibatch; N steps are stored. Each minibatch is drawn after the
    update before it has changed the priorities, one step from each of `batch_size` equal parts of
    the sum (appendix B.2.1). β grows linearly to 1 over `importance_updates` updates, and is the
    same for the updates of one iteration.
    """

    replay: Replay
    priority_exponent: Scalar = 0.6  # α
    priority_offset: Scalar = 1e-6  # ε, in units of the error
    importance_exponent: Scalar = 0.4  # β at the first update
    importance_updates: int = 25_000
    warmup_gathers: int = 0  # before the first update

    def __check_init__(self):
        validate.unit_interval("priority_exponent", self.priority_exponent)
        validate.positive("priority_offset", self.priority_offset)
        validate.unit_interval("importance_exponent", self.importance_exponent)
        validate.count("importance_updates", self.importance_updates)
        validate.count("warmup_gathers", self.warmup_gathers, least=0)

    @property
    def needs_errors(self) -> bool:
        return True

    def init(self, gathered: Transition) -> BufferState:
        ring: Ring = self.replay.init(gathered).held
        dtype = ring.steps.reward.dtype
        tree = empty_tree(ring.steps.reward.size, dtype)
        return BufferState(ring, Priorities(tree, jnp.ones((), dtype)))

    def add(
        self, state: BufferState, gathered: Transition, *, index: Int[Array, ""]
    ) -> BufferState:
        ring, greatest = state.held, state.changing.greatest
        first = ring.first_row(index) * ring.steps.reward.shape[1]
        place = first + jnp.arange(gathered.reward.size)
        tree = written(state.changing.tree, place, jnp.broadcast_to(greatest, place.shape))
        ring = self.replay.add(BufferState(ring), gathered, index=index).held
        return BufferState(ring, Priorities(tree, greatest))

    def interrupted(self, state: BufferState, progress: Any) -> BufferState:
        ring = self.replay.interrupted(BufferState(state.held), progress).held
        return BufferState(ring, state.changing)

    def plan(
        self,
        state: BufferState,
        gathered: Transition,
        *,
        index: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> Chance:
        shape = (2, self.replay.num_updates, self.replay.batch_size)
        return Chance(*jr.uniform(key, shape, gathered.reward.dtype))

    def draw(
        self, state: BufferState, plan: Chance, *, index: Int[Array, ""]
    ) -> tuple[Transition, Int[Array, " batch"]]:
        ring, tree = state.held, state.changing.tree
        size, num_envs = plan.coarse.size, ring.steps.reward.shape[1]
        part = tree.total / size
        place = found(tree, jnp.arange(size) * part + plan.coarse * part, plan.fine)
        row, env = place // num_envs, place % num_envs
        batch = self.replay.looked_up(ring, row, env, index=index)
        weight = importance_weights(
            tree.weight[place] / tree.total,
            ring.num_filled(index),
            exponent=self.exponent(index),
        )
        weighted = eqx.tree_at(lambda t: t.record.weight, batch, weight / jnp.max(weight))
        # Without the barrier XLA reads a weight after the update has written priorities, for which
        # it copies the tree.
        return lax.optimization_barrier((weighted, place))

    def learned(
        self, changing: Priorities, place: Int[Array, " batch"], error: Float[Array, " batch"]
    ) -> Priorities:
        # A step that came twice has one error: both are from the same networks.
        priority = (jnp.abs(error) + self.priority_offset) ** self.priority_exponent
        priority = priority.astype(changing.greatest.dtype)
        greatest = jnp.maximum(changing.greatest, jnp.max(priority))
        return Priorities(written(changing.tree, place, priority), greatest)

    def exponent(self, index: Int[Array, ""]) -> Float[Array, ""]:
        """β in gather `index`."""
        updates = (index - self.warmup_gathers) * self.replay.num_updates
        done = jnp.clip(updates / self.importance_updates, 0.0, 1.0)
        return self.importance_exponent + (1.0 - self.importance_exponent) * done


def importance_weights(
    chance: Float[Array, "*batch"],
    count: Int[Array, ""],
    *,
    exponent: Float[Array, ""],
) -> Float[Array, "*batch"]:
    r"""$(N\,P(i))^{-\beta}$: at β = 1 what makes the mean over draws that over all N steps.

    Schaul et al. (2016), section 3.4. `chance`: P(i) > 0. `count`: N.
    """
    return (count * chance) ** -exponent
