r"""Certainty equivalence: estimate the process, and plan as if the estimate were the truth."""

from typing import NamedTuple

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...types import Scalar
from ..steps.dynamics import Experience
from ..steps.exploration import AbstractExploration, EpsilonGreedyExploration, drawn
from ..steps.models import Counts, Frequencies
from ..values.action_values import ActionValueTable
from .one_step import AbstractControl


_MOST = 10_000  # sweeps; at γ = 1 values of an estimate may grow without end


class CertaintyEquivalenceState(NamedTuple):
    """The counts so far, the values planned last, those of pairs not yet known, and the steps."""

    counts: Counts
    q: Float[Array, "states actions"]
    unknown: Float[Array, "states actions"]
    clock: Int[Array, ""]


class CertaintyEquivalence(AbstractControl[CertaintyEquivalenceState]):
    r"""Every so many steps $Q = \hat r + \gamma \hat P \max_{a'} Q$, solved by value iteration.

    $\hat P$ and $\hat r$ are the frequencies and mean rewards of all steps so far. A pair that was
    tried less than m times keeps its initial value: 0 is what it is worth to stay there for ever
    and be paid nothing; the largest possible makes this R-max (Brafman and Tennenholtz, 2002).
    Sutton and Barto (2018), section 6.3; Kumar and Varaiya (1986). Memory is |S|²·|A|, a sweep as
    many operations.
    **Raises:** `ValueError` for a `plan_every` or `min_visits` that is no whole number above 0.
    """

    exploration: AbstractExploration = EpsilonGreedyExploration()
    """How actions are chosen."""
    plan_every: int = eqx.field(default=100, static=True)
    """Real steps from one plan to the next."""
    min_visits: int = eqx.field(default=1, static=True)
    """m: how often a pair is tried before its estimate is believed."""

    def __check_init__(self):
        validate.instance("exploration", self.exploration, AbstractExploration)
        validate.count("min_visits", self.min_visits)
        validate.count("plan_every", self.plan_every)

    @property
    def num_draws(self) -> int:
        return 0

    def init(self, values: ActionValueTable) -> CertaintyEquivalenceState:
        q = values.q
        return CertaintyEquivalenceState(
            Frequencies().init(*q.shape), q, q, jnp.zeros((), jnp.int32)
        )

    def act(
        self,
        learned: CertaintyEquivalenceState,
        state: Int[Array, ""],
        first: Bool[Array, ""],
        draw: Float[Array, ""],
    ) -> Int[Array, ""]:
        del first
        return drawn(self.exploration.probabilities(learned.q[state]), draw)

    def update(
        self,
        learned: CertaintyEquivalenceState,
        seen: Experience,
        draws: Float[Array, " draws"],
        *,
        discount: Scalar,
    ) -> CertaintyEquivalenceState:
        del draws
        counts, clock = Frequencies().update(learned.counts, seen), learned.clock + 1
        now = learned._replace(counts=counts, clock=clock)
        due = clock % self.plan_every == 0
        plan = lambda: planned(now, discount, min_visits=self.min_visits)
        return now._replace(q=lax.cond(due, plan, lambda: now.q))

    def values(self, learned: CertaintyEquivalenceState) -> ActionValueTable:
        return ActionValueTable(learned.q, jnp.sum(learned.counts.visits, axis=2))


def planned(
    learned: CertaintyEquivalenceState, discount: Scalar, *, min_visits: int
) -> Float[Array, "states actions"]:
    r"""Q* of the estimate, from the values planned last on until a sweep changes next to nothing.

    That is at most four units in the last place of the largest value, so that the error is below
    $4\epsilon\gamma/(1-\gamma)$ of it: at γ = 0.99 in float32 $5 \cdot 10^{-5}$.
    """
    visits = learned.counts.visits
    total = jnp.sum(visits, axis=2)
    transition = visits / jnp.maximum(total, 1)[:, :, None]

    def sweep(carry):
        q, _, sweeps = carry
        ahead = learned.counts.reward + discount * (transition @ jnp.max(q, axis=1))
        new = jnp.where(total >= min_visits, ahead, learned.unknown)
        return new, jnp.max(jnp.abs(new - q)), sweeps + 1

    def unsettled(carry):
        q, change, sweeps = carry
        return (change > 4 * jnp.finfo(q.dtype).eps * jnp.max(jnp.abs(q))) & (sweeps < _MOST)

    infinite = jnp.full((), jnp.inf, learned.q.dtype)
    return lax.while_loop(unsettled, sweep, (learned.q, infinite, 0))[0]
