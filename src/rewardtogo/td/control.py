r"""Tabular control from single steps: Q-learning, double Q-learning, SARSA, expected SARSA.

All move $Q(s,a)$ to a target $y$ by $Q(s,a) \leftarrow Q(s,a) + \alpha_n (y - Q(s,a))$, with n the
number of updates of that pair, and differ in $y$. A terminal successor is worth 0; after a step
that was only truncated the target bootstraps.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .. import validate
from ..losses.q_learning import bellman_target
from ..types import Scalar
from .dynamics import Experience
from .exploration import AbstractExploration, EpsilonGreedyExploration, drawn
from .step_sizes import AbstractStepSize, PolynomialStepSize


class Table(NamedTuple):
    """Q, and how often each entry was updated; `tables` is no axis, or 2 for double Q-learning."""

    q: Float[Array, "*tables states actions"]
    visits: Float[Array, "*tables states actions"]


class Planned(NamedTuple):
    """A table, and the action chosen for the state that comes next."""

    table: Table
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
    def init(self, q: Float[Array, "states actions"]) -> S:
        """Begin with these action values; those of terminal states are to be 0."""

    @abc.abstractmethod
    def act(
        self, learned: S, state: Int[Array, ""], first: Bool[Array, ""], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        """The action in `state`; `first` says whether an episode begins."""

    @abc.abstractmethod
    def update(
        self, learned: S, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> S:
        """Learn from one step, with `num_draws` numbers that are uniform on [0, 1)."""

    @abc.abstractmethod
    def action_values(self, learned: S) -> Float[Array, "states actions"]:
        """The estimate of Q."""


class QLearning(AbstractControl[Table]):
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

    def init(self, q: Float[Array, "states actions"]) -> Table:
        return Table(q, jnp.zeros_like(q))

    def act(
        self, learned: Table, state: Int[Array, ""], first: Bool[Array, ""], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.q[state]), draw)

    def update(
        self, learned: Table, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> Table:
        del draws
        value = jnp.max(learned.q[seen.next_state])
        return moved(learned, seen, value, self.step_size, discount)

    def action_values(self, learned: Table) -> Float[Array, "states actions"]:
        return learned.q


class ExpectedSarsa(AbstractControl[Table]):
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

    def init(self, q: Float[Array, "states actions"]) -> Table:
        return Table(q, jnp.zeros_like(q))

    def act(
        self, learned: Table, state: Int[Array, ""], first: Bool[Array, ""], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.q[state]), draw)

    def update(
        self, learned: Table, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> Table:
        del draws
        q = learned.q[seen.next_state]
        value = jnp.sum(self.exploration.probabilities(q) * q)
        return moved(learned, seen, value, self.step_size, discount)

    def action_values(self, learned: Table) -> Float[Array, "states actions"]:
        return learned.q


class Sarsa(AbstractControl[Planned]):
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

    def init(self, q: Float[Array, "states actions"]) -> Planned:
        return Planned(Table(q, jnp.zeros_like(q)), jnp.zeros((), jnp.int32))

    def act(
        self,
        learned: Planned,
        state: Int[Array, ""],
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        fresh = drawn(self.exploration.probabilities(learned.table.q[state]), draw)
        return jnp.where(first, fresh, learned.action)

    def update(
        self, learned: Planned, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> Planned:
        q = learned.table.q[seen.next_state]
        action = drawn(self.exploration.probabilities(q), draws[0])
        return Planned(moved(learned.table, seen, q[action], self.step_size, discount), action)

    def action_values(self, learned: Planned) -> Float[Array, "states actions"]:
        return learned.table.q


class DoubleQLearning(AbstractControl[Table]):
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

    def init(self, q: Float[Array, "states actions"]) -> Table:
        both = jnp.stack([q, q])
        return Table(both, jnp.zeros_like(both))

    def act(
        self, learned: Table, state: Int[Array, ""], first: Bool[Array, ""], draw: Float[Array, ""]
    ) -> Int[Array, ""]:
        del first
        mean = (learned.q[0, state] + learned.q[1, state]) / 2
        return drawn(self.exploration.probabilities(mean), draw)

    def update(
        self, learned: Table, seen: Experience, draws: Float[Array, " draws"], *, discount: Scalar
    ) -> Table:
        chooses = (draws[0] >= 0.5).astype(jnp.int32)
        best = jnp.argmax(learned.q[chooses, seen.next_state])
        value = learned.q[1 - chooses, seen.next_state, best]
        return moved(learned, seen, value, self.step_size, discount, table=(chooses,))

    def action_values(self, learned: Table) -> Float[Array, "states actions"]:
        return jnp.mean(learned.q, axis=0)


def moved(
    learned: Table,
    seen: Experience,
    next_value: Float[Array, ""],
    step_size: AbstractStepSize,
    discount: Scalar,
    *,
    table: tuple[Int[Array, ""], ...] = (),
) -> Table:
    """The entry of this state and action, in `table` where there are several, moved to y."""
    target = bellman_target(seen.reward, next_value, seen.terminated, discount=discount)
    place = (*table, seen.state, seen.action)
    visits = learned.visits[place] + 1
    new = learned.q[place] + step_size(visits) * (target - learned.q[place])
    # Else XLA computes one write from the other's table, and copies that at every step.
    new, visits = lax.optimization_barrier((new, visits))
    return Table(learned.q.at[place].set(new), learned.visits.at[place].set(visits))
