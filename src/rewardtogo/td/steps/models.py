r"""Models of a finite process that are learned step by step, and asked for steps to plan with.

Of a pair (s, a) that was never tried every model says what Sutton and Barto (2018), section 8.3,
footnote 1, let it say: it leads back to s and pays nothing.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .dynamics import Experience
from .exploration import drawn


class AbstractModel[M](eqx.Module):
    """What a step from each state, with each action, is expected to give."""

    @property
    @abc.abstractmethod
    def num_draws(self) -> int:
        """How many numbers `step` takes."""

    @abc.abstractmethod
    def init(self, num_states: int, num_actions: int) -> M:
        """Nothing was tried."""

    @abc.abstractmethod
    def update(self, known: M, seen: Experience) -> M:
        """Learn from one step."""

    @abc.abstractmethod
    def step(
        self,
        known: M,
        state: Int[Array, ""],
        action: Int[Array, ""],
        draws: Float[Array, " draws"],
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        """Reward and successor of an imagined step, from numbers that are uniform on [0, 1)."""


class Last(NamedTuple):
    """What each pair gave when it was tried last."""

    reward: Float[Array, "states actions"]
    successor: Int[Array, "states actions"]


class LastOutcome(AbstractModel[Last]):
    """What a pair gave last, it will give again; Sutton and Barto (2018), section 8.2, box, (e).

    Exact where the process is deterministic, and at once right again after it has changed. Where
    the process is random, this is one sample of P(· | s, a), the latest.
    """

    @property
    def num_draws(self) -> int:
        return 0

    def init(self, num_states: int, num_actions: int) -> Last:
        own = jnp.broadcast_to(jnp.arange(num_states)[:, None], (num_states, num_actions))
        return Last(jnp.zeros((num_states, num_actions)), own.astype(jnp.int32))

    def update(self, known: Last, seen: Experience) -> Last:
        pair = seen.state, seen.action
        return Last(
            known.reward.at[pair].set(seen.reward), known.successor.at[pair].set(seen.next_state)
        )

    def step(
        self,
        known: Last,
        state: Int[Array, ""],
        action: Int[Array, ""],
        draws: Float[Array, " draws"],
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        del draws
        return known.reward[state, action], known.successor[state, action]


class Counts(NamedTuple):
    r"""$\hat r(s,a)$, the mean reward, and N(s, a, s')."""

    reward: Float[Array, "states actions"]
    visits: Float[Array, "states actions successors"]


class Frequencies(AbstractModel[Counts]):
    r"""$\hat P(s' \mid s,a) = N(s,a,s')/N(s,a)$ and the mean reward $\hat r(s,a)$.

    The model of maximum likelihood; Sutton and Barto (2018), section 6.3. Memory is |S|²·|A|, an
    imagined step takes |S| operations, and after a change the old outcomes weigh on.
    """

    @property
    def num_draws(self) -> int:
        return 1

    def init(self, num_states: int, num_actions: int) -> Counts:
        pairs = num_states, num_actions
        return Counts(jnp.zeros(pairs), jnp.zeros((*pairs, num_states)))

    def update(self, known: Counts, seen: Experience) -> Counts:
        pair = seen.state, seen.action
        visits = known.visits[*pair, seen.next_state] + 1
        surprise = seen.reward - known.reward[pair]
        # As a running mean, which rewards that are all the same leave as they are.
        reward = known.reward[pair] + surprise / (jnp.sum(known.visits[pair]) + 1)
        # All is read before anything is written: else XLA copies the tables at every step.
        reward, visits = lax.optimization_barrier((reward, visits))
        return Counts(
            known.reward.at[pair].set(reward), known.visits.at[*pair, seen.next_state].set(visits)
        )

    def step(
        self,
        known: Counts,
        state: Int[Array, ""],
        action: Int[Array, ""],
        draws: Float[Array, " draws"],
    ) -> tuple[Float[Array, ""], Int[Array, ""]]:
        visits = known.visits[state, action]
        successor = jnp.where(jnp.any(visits > 0), drawn(visits, draws[0]), state)
        return known.reward[state, action], successor
