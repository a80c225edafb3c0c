"""Prediction by Monte Carlo: whole returns, known when an episode has ended."""

import enum
from typing import Any, NamedTuple

import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ... import validate
from ...types import Scalar
from ..steps.dynamics import Experience
from ..values.state_values import AbstractValues
from .one_step import AbstractPredictor, Estimate, check_steps, moved, untouched


class Visits(enum.Enum):
    """Which visits to a state count."""

    FIRST = "first"
    EVERY = "every"


class _Episode(NamedTuple):
    """The episode under way; `last` is the number of the episode that last met each state."""

    state: Int[Array, " max_steps"]
    reward: Float[Array, " max_steps"]
    fresh: Bool[Array, " max_steps"]  # whether the state was met for the first time
    length: Int[Array, ""]
    number: Int[Array, ""]
    last: Int[Array, " states"]


class MonteCarlo(AbstractPredictor):
    r"""Every value moves toward the return that followed.

    $$V(S_t) \leftarrow V(S_t) + \alpha_n\,[G_t - V(S_t)],
    \qquad G_t = \sum_{k \ge 0} \gamma^k R_{t+k+1}$$

    Sutton and Barto (2018), section 5.1 and eq. 6.1; from an episode's last step back to its
    first, as there. With features or a network and every visit, gradient Monte Carlo of section
    9.3. With α = ω = 1 it is the mean of the returns: of first visits unbiased, of
    every visit biased but consistent (Singh and Sutton, 1996, theorems 6 and 7). Nothing is
    learned from a truncated episode: its returns are not known. Memory for one episode.

    **Raises:** `ValueError` for a step size outside (0, 1], a decay outside [0, 1], or visits that
    are no `Visits`.
    """

    visits: Visits = Visits.FIRST
    """The returns of which visits: each state's first of an episode, or every one."""
    step_size: Scalar = 1.0
    """α, the share of the error by which a first update moves a value."""
    step_decay: Scalar = 1.0
    """ω: the n-th update of a state takes α n^(−ω)."""

    def __check_init__(self):
        check_steps(self)
        validate.instance("visits", self.visits, Visits)

    def init(self, values: AbstractValues, weights: Any, *, max_steps: int) -> Estimate:
        zero = jnp.zeros((), jnp.int32)
        states = jnp.zeros(max_steps, jnp.int32)
        never = jnp.full(values.num_states, -1, jnp.int32)
        rewards = jnp.zeros(max_steps)
        episode = _Episode(states, rewards, states > 0, zero, zero, never)
        return untouched(values, weights, episode)

    def observe(
        self, estimate: Estimate, seen: Experience, discount: Scalar, values: AbstractValues
    ) -> Estimate:
        episode = _continued(estimate.memory, seen)

        def back(i, carry):
            estimate, later = carry
            t = episode.length - 1 - i
            target = episode.reward[t] + discount * later
            counts = episode.fresh[t] | (self.visits is Visits.EVERY)
            after = moved(estimate, episode.state[t], target, self, values, counts=counts)
            return after, target

        # A loop of no rounds and not a branch: a branch would copy the values at every step.
        rounds = jnp.where(seen.terminated, episode.length, 0)
        start = estimate._replace(memory=()), jnp.zeros(())
        learned, _ = lax.fori_loop(0, rounds, back, start)
        ended = seen.terminated | seen.truncated
        episode = episode._replace(
            length=jnp.where(ended, 0, episode.length), number=episode.number + ended
        )
        return learned._replace(memory=episode)


def _continued(episode: _Episode, seen: Experience) -> _Episode:
    at = episode.length
    return _Episode(
        episode.state.at[at].set(seen.state),
        episode.reward.at[at].set(seen.reward),
        episode.fresh.at[at].set(episode.last[seen.state] != episode.number),
        at + 1,
        episode.number,
        episode.last.at[seen.state].set(episode.number),
    )
