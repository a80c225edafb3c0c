r"""Control from single steps: Q-learning, double Q-learning, SARSA, expected SARSA.

All move $Q(s,a)$ toward a target $y$, which is held constant, and differ in $y$. A terminal
successor is worth 0; after a step that was only truncated the target bootstraps. Q is a table or a
function of weights: with a function these are the semi-gradient methods of Sutton and Barto (2018),
sections 10.1 and 11.1, and only double Q-learning needs a table.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...losses.q_learning import bellman_target
from ...types import Scalar
from ..steps.dynamics import Experience
from ..steps.exploration import AbstractExploration, EpsilonGreedyExploration, drawn
from ..steps.step_sizes import AbstractStepSize, PolynomialStepSize
from ..values.action_values import AbstractQFunction, ActionValueTable, Observed


class SarsaState(NamedTuple):
    """Action values, and the action chosen for the state that comes next."""

    values: AbstractQFunction
    action: Int[Array, ""]


def check_parts(exploration: AbstractExploration, step_size: AbstractStepSize) -> None:
    """**Raises:** `ValueError` unless both are modules: a bare number would fail much later."""
    validate.instance("exploration", exploration, AbstractExploration)
    validate.instance("step_size", step_size, AbstractStepSize)


class AbstractControl[S](eqx.Module):
    """Learns action values while acting on them.

    A step is `act`, the process's own step, and `update`; `act` gets a number that is uniform on
    [0, 1), `update` as many as it asks for, and all are independent.
    """

    @property
    @abc.abstractmethod
    def num_draws(self) -> int:
        """How many numbers `update` takes."""

    @abc.abstractmethod
    def init(self, values: Any) -> S:
        """Begin with these action values; in a table those of terminal states are to be 0."""

    @abc.abstractmethod
    def act(
        self, learned: S, state: Observed, first: Bool[Array, ""], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        """The action in `state`; `first` says whether an episode begins."""

    @abc.abstractmethod
    def update(
        self, learned: S, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> S:
        """Learn from one step, with `num_draws` numbers that are uniform on [0, 1)."""

    @abc.abstractmethod
    def values(self, learned: S) -> Any:
        """The estimate of Q."""


class QLearning(AbstractControl[AbstractQFunction]):
    r"""$y = r + \gamma \max_{a'} Q(s', a')$; Watkins (1989), Sutton and Barto (2018), eq. 6.8."""

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)

    @property
    def num_draws(self) -> int:
        return 0

    def init(self, values: AbstractQFunction) -> AbstractQFunction:
        return values

    def act(
        self,
        learned: AbstractQFunction,
        state: Observed,
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.at(state)), draw)

    def update(
        self,
        learned: AbstractQFunction,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> AbstractQFunction:
        del draws
        value = jnp.max(learned.at(seen.next_state))
        target = bellman_target(seen.reward, value, seen.terminated, discount=discount)
        return learned.moved(seen.state, seen.action, target, self.step_size)

    def values(self, learned: AbstractQFunction) -> AbstractQFunction:
        return learned


class ExpectedSarsa(AbstractControl[AbstractQFunction]):
    r"""$y = r + \gamma \sum_{a'} \pi(a' \mid s')\, Q(s', a')$; van Seijen et al. (2009).

    π is the exploring policy itself: Sutton and Barto (2018), eq. 6.9.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)

    @property
    def num_draws(self) -> int:
        return 0

    def init(self, values: AbstractQFunction) -> AbstractQFunction:
        return values

    def act(
        self,
        learned: AbstractQFunction,
        state: Observed,
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.at(state)), draw)

    def update(
        self,
        learned: AbstractQFunction,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> AbstractQFunction:
        del draws
        q = learned.at(seen.next_state)
        value = jnp.sum(self.exploration.probabilities(q) * q)
        target = bellman_target(seen.reward, value, seen.terminated, discount=discount)
        return learned.moved(seen.state, seen.action, target, self.step_size)

    def values(self, learned: AbstractQFunction) -> AbstractQFunction:
        return learned


class Sarsa(AbstractControl[SarsaState]):
    r"""$y = r + \gamma\, Q(s', a')$ with $a' \sim \pi(\cdot \mid s')$, the action taken next.

    Rummery and Niranjan (1994); Sutton and Barto (2018), eq. 6.7. $a'$ is chosen before the
    update, as in the book's box. Where an episode is cut, $a'$ is drawn for the target alone.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)

    @property
    def num_draws(self) -> int:
        return 1

    def init(self, values: AbstractQFunction) -> SarsaState:
        return SarsaState(values, jnp.zeros((), jnp.int32))

    def act(
        self,
        learned: SarsaState,
        state: Observed,
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        fresh = drawn(self.exploration.probabilities(learned.values.at(state)), draw)
        return jnp.where(first, fresh, learned.action)

    def update(
        self,
        learned: SarsaState,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> SarsaState:
        q = learned.values.at(seen.next_state)
        action = drawn(self.exploration.probabilities(q), draws[0])
        target = bellman_target(seen.reward, q[action], seen.terminated, discount=discount)
        moved = learned.values.moved(seen.state, seen.action, target, self.step_size)
        return SarsaState(moved, action)

    def values(self, learned: SarsaState) -> AbstractQFunction:
        return learned.values


class DoubleQLearning(AbstractControl[ActionValueTable]):
    r"""$y = r + \gamma\, Q_{1-i}(s', \arg\max_{a'} Q_i(s', a'))$ moves $Q_i$, i a fair coin.

    van Hasselt (2010), algorithm 1; Sutton and Barto (2018), section 6.7. One table chooses and the
    other judges, so that the target does not prefer what was overestimated. Of actions that tie the
    first is chosen. Acts on, and returns, the mean of both.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    step_size: AbstractStepSize = PolynomialStepSize()
    """α as a function of the number of updates of a pair."""

    def __check_init__(self):
        check_parts(self.exploration, self.step_size)

    @property
    def num_draws(self) -> int:
        return 1

    def init(self, values: ActionValueTable) -> ActionValueTable:
        return jax.tree.map(lambda x: jnp.stack([x, x]), values)

    def act(
        self,
        learned: ActionValueTable,
        state: Observed,
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        mean = (learned.q[0, state] + learned.q[1, state]) / 2
        return drawn(self.exploration.probabilities(mean), draw)

    def update(
        self,
        learned: ActionValueTable,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> ActionValueTable:
        chooses = (draws[0] >= 0.5).astype(jnp.int32)
        best = jnp.argmax(learned.q[chooses, seen.next_state])
        value = learned.q[1 - chooses, seen.next_state, best]
        target = bellman_target(seen.reward, value, seen.terminated, discount=discount)
        return learned.written((chooses, seen.state, seen.action), target, self.step_size)

    def values(self, learned: ActionValueTable) -> ActionValueTable:
        return ActionValueTable(jnp.mean(learned.q, axis=0), jnp.sum(learned.visits, axis=0))
