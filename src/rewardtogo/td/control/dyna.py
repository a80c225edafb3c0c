r"""Dyna-Q and Dyna-Q+: Q-learning from steps, and from steps that a learned model imagines.

Sutton (1990); Sutton and Barto (2018), sections 8.2 and 8.3. After each real step n more updates
of the same kind are made, from states that were visited before. With n = 0 both are Q-learning.
An update that was imagined counts as one of its pair where step sizes fall.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...losses.q_learning import bellman_target
from ...types import Scalar
from ..steps.dynamics import Experience
from ..steps.exploration import AbstractExploration, EpsilonGreedyExploration, drawn
from ..steps.models import AbstractModel, LastOutcome
from ..steps.step_sizes import AbstractStepSize, PolynomialStepSize
from ..values.action_values import ActionValueTable
from .one_step import AbstractControl, check_parts


class ModelState(NamedTuple):
    """What was met.

    `model`: what its model has learned. `visited`: the states, in the order of their first visit,
    of which the first `count` are known. `tried`: the step at which a pair was tried last, counted
    from 1, or 0 for never. `clock`: steps taken.
    """

    model: Any
    visited: Int[Array, " states"]
    count: Int[Array, ""]
    tried: Int[Array, "states actions"]
    clock: Int[Array, ""]


class DynaState(NamedTuple):
    """Action values, and what they are planned from."""

    table: ActionValueTable
    memory: ModelState


class DynaQ(AbstractControl[DynaState]):
    r"""Q-learning after a real step, and after n imagined ones.

    Each begins in a state drawn evenly from those visited, with an action drawn evenly from those
    tried there; reward and successor are the model's. Sutton and Barto (2018), section 8.2, box.
    **Raises:** `ValueError` for `planning_steps` that are no whole number from 0 on.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair, imagined ones included."""
    model: AbstractModel = LastOutcome()
    """What is learned of the process."""
    planning_steps: int = eqx.field(default=10, static=True)
    """n, the imagined steps after each real one."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)
        validate.instance("model", self.model, AbstractModel)
        validate.count("planning_steps", self.planning_steps, least=0)

    @property
    def num_draws(self) -> int:
        return self.planning_steps * _draws_each(self.model)

    def init(self, values: ActionValueTable) -> DynaState:
        return DynaState(values, _nothing(self.model, values.q.shape))

    def act(
        self,
        learned: DynaState,
        state: Int[Array, ""],
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.table.q[state]), draw)

    def update(
        self,
        learned: DynaState,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> DynaState:
        own = (self.planning_steps, self.model, self.step_size)
        return _learned(learned, seen, draws, *own, discount=discount, bonus=None)

    def values(self, learned: DynaState) -> ActionValueTable:
        return learned.table


class DynaQPlus(AbstractControl[DynaState]):
    r"""Dyna-Q whose imagined rewards are $r + \kappa\sqrt{\tau(s,a)}$, τ the steps since the pair
    was tried.

    What was not tried for long is tried again, so that a change is found also where it is for the
    better. Actions never tried are imagined too, for which τ counts from the run's beginning.
    Sutton and Barto (2018), section 8.3 and its footnote.
    **Raises:** `ValueError` for `planning_steps` that are no whole number from 0 on, and a `bonus`
    that is negative or not finite.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair, imagined ones included."""
    model: AbstractModel = LastOutcome()
    """What is learned of the process."""
    planning_steps: int = eqx.field(default=10, static=True)
    """n, the imagined steps after each real one."""
    bonus: Scalar = 1e-3
    """κ, in units of reward: what a pair not tried for τ steps promises in addition, over √τ."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)
        validate.instance("model", self.model, AbstractModel)
        validate.count("planning_steps", self.planning_steps, least=0)
        validate.non_negative("bonus", self.bonus)

    @property
    def num_draws(self) -> int:
        return self.planning_steps * _draws_each(self.model)

    def init(self, values: ActionValueTable) -> DynaState:
        return DynaState(values, _nothing(self.model, values.q.shape))

    def act(
        self,
        learned: DynaState,
        state: Int[Array, ""],
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.table.q[state]), draw)

    def update(
        self,
        learned: DynaState,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> DynaState:
        own = (self.planning_steps, self.model, self.step_size)
        return _learned(learned, seen, draws, *own, discount=discount, bonus=self.bonus)

    def values(self, learned: DynaState) -> ActionValueTable:
        return learned.table


def _learned(
    learned: DynaState,
    seen: Experience,
    draws: Float[Array, " draws"],
    planning_steps: int,
    model: AbstractModel,
    step_size: AbstractStepSize,
    *,
    discount: Scalar,
    bonus: Scalar | None,
) -> DynaState:
    """After one real step and the imagined ones; of actions never tried only with a bonus."""
    memory = _remembered(model, learned.memory, seen)

    def imagine(
        table: ActionValueTable, draws: Float[Array, " each"]
    ) -> tuple[ActionValueTable, None]:
        state = memory.visited[(draws[0] * memory.count).astype(jnp.int32)]
        tried = memory.tried[state]
        allowed = tried > 0 if bonus is None else jnp.ones_like(tried)
        action = drawn(allowed.astype(draws.dtype), draws[1])
        reward, successor = model.step(memory.model, state, action, draws[2:])
        if bonus is not None:
            rest = (memory.clock - tried[action]).astype(reward.dtype)
            reward = reward + bonus * jnp.sqrt(rest)
        # That a successor is terminal need not be known: its values are 0 from the beginning on.
        no = jnp.zeros((), bool)
        imagined = Experience(state, action, reward, successor, no, no)
        return _q_learned(table, imagined, step_size, discount), None

    table = _q_learned(learned.table, seen, step_size, discount)
    each = draws.reshape(planning_steps, _draws_each(model))
    return DynaState(lax.scan(imagine, table, each)[0], memory)


def _draws_each(model: AbstractModel) -> int:
    """A state, an action, and what the model asks for."""
    return 2 + model.num_draws


def _nothing(model: AbstractModel, shape: tuple[int, ...]) -> ModelState:
    states, actions = shape
    zero = jnp.zeros((), jnp.int32)
    tried = jnp.zeros((states, actions), jnp.int32)
    return ModelState(model.init(states, actions), jnp.zeros(states, jnp.int32), zero, tried, zero)


def _remembered(model: AbstractModel, memory: ModelState, seen: Experience) -> ModelState:
    state, new = seen.state, jnp.all(memory.tried[seen.state] == 0)
    # All is read before anything is written: else XLA copies the table at every step.
    new, clock = lax.optimization_barrier((new, memory.clock + 1))
    # Of a state that is not new the entry is one that does not count yet.
    return ModelState(
        model.update(memory.model, seen),
        memory.visited.at[memory.count].set(state),
        memory.count + new,
        memory.tried.at[state, seen.action].set(clock),
        clock,
    )


def _q_learned(
    table: ActionValueTable, seen: Experience, step_size: AbstractStepSize, discount: Scalar
) -> ActionValueTable:
    value = jnp.max(table.at(seen.next_state))
    target = bellman_target(seen.reward, value, seen.terminated, discount=discount)
    return table.moved(seen.state, seen.action, target, step_size)
