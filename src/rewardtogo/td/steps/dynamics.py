r"""A finite MDP laid out for drawing from: what learning from samples meets, step by step."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from ... import validate
from ...tabular.mdp import AbstractMDP, TabularMDP
from ...tabular.successors import SuccessorMDP
from ...types import AnyArray


# Uniform numbers that one step uses: the outcome, the reward's noise, a restart.
DRAWS = 3


class Experience(NamedTuple):
    """One step; `next_state` is the true successor, taken before any restart.

    States are their numbers; in an environment without numbered states, observations.
    """

    state: Shaped[Array, "..."]
    action: Int[Array, ""]
    reward: Float[Array, ""]
    next_state: Shaped[Array, "..."]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class ProcessState(NamedTuple):
    """Where the process is, and how many steps its episode has taken."""

    state: Int[Array, ""]
    time: Int[Array, ""]


class Dynamics(eqx.Module):
    """Tables by row s·|A| + a, so that a step reads one short row of each; see `dynamics`."""

    cumulative: Float[AnyArray, "pairs outcomes"]  # of the outcomes' probabilities; last is 1
    successor: Int[AnyArray, "pairs outcomes"]
    reward: Float[AnyArray, "pairs outcomes"]
    deviation: Float[AnyArray, " pairs"] | None  # of the reward's Gaussian noise
    initial: Float[AnyArray, " states"]  # cumulative
    terminal: Bool[AnyArray, " states"]
    discount: Float[AnyArray, ""]
    num_actions: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    @property
    def num_states(self) -> int:
        """|S|, terminal states included."""
        return len(self.terminal)

    def begin(self, draw: Float[Array, ""]) -> ProcessState:
        """s₀ ∼ μ₀, from one number that is uniform on [0, 1)."""
        return ProcessState(_index(jnp.asarray(self.initial), draw), jnp.zeros((), jnp.int32))

    def step(
        self, place: ProcessState, action: Int[Array, ""], draws: Float[Array, "3"]
    ) -> tuple[ProcessState, Experience]:
        """s' ∼ P(· | s, a); where the episode ends, the place returned is the next one's first.

        `draws` are uniform on [0, 1).
        """
        row = place.state * self.num_actions + action
        outcome = _index(jnp.asarray(self.cumulative)[row], draws[0])
        successor = jnp.asarray(self.successor)[row, outcome]
        reward = jnp.asarray(self.reward)[row, outcome]
        if self.deviation is not None:
            noise = jax.scipy.special.ndtri(jnp.maximum(draws[1], jnp.finfo(draws.dtype).tiny))
            reward = reward + jnp.asarray(self.deviation)[row] * noise
        terminated = jnp.asarray(self.terminal)[successor]
        time = place.time + 1
        truncated = (time >= self.max_steps) & ~terminated
        seen = Experience(place.state, action, reward, successor, terminated, truncated)
        going = ProcessState(successor, time)
        # A branch: to look for a first state goes through all of them, and few steps need one.
        after = lax.cond(terminated | truncated, lambda: self.begin(draws[2]), lambda: going)
        return after, seen


def dynamics(mdp: AbstractMDP, *, max_steps: int) -> Dynamics:
    r"""Lay an MDP out for drawing, in the program's own precision.

    **Arguments:** `max_steps`: an episode is truncated after so many steps.
    **Raises:** `ValueError` if an episode could begin in a terminal state.
    """
    validate.count("max_steps", max_steps)
    initial, terminal = np.asarray(mdp.initial), np.asarray(mdp.terminal)
    over = np.flatnonzero((initial > 0) & terminal)
    if over.size:
        raise ValueError(
            f"`initial` is {initial[over[0]]} at state {over[0]}, which is terminal: no episode "
            "can begin there."
        )
    probability, successor, reward = _outcomes(mdp)
    variance = mdp.reward_noise if isinstance(mdp, TabularMDP) else None
    deviation = None if variance is None else np.sqrt(np.asarray(variance)).reshape(-1)
    dtype = jnp.result_type(float)
    real = lambda x: np.asarray(x, dtype)
    return Dynamics(
        real(_cumulative(probability)),
        successor.astype(np.int32),
        real(reward),
        None if deviation is None else real(deviation),
        real(_cumulative(initial)),
        terminal,
        real(mdp.discount),
        mdp.num_actions,
        max_steps,
    )


def _outcomes(mdp: AbstractMDP) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability, successor and reward of each outcome, `[pairs, outcomes]`."""
    pairs, mean = mdp.num_states * mdp.num_actions, np.asarray(mdp.reward).reshape(-1, 1)
    if isinstance(mdp, SuccessorMDP):
        rows = lambda x: np.asarray(x).transpose(2, 0, 1).reshape(pairs, -1)
        probability, successor = rows(mdp.probability), rows(mdp.successor)
        reward = mean if mdp.outcome_reward is None else rows(mdp.outcome_reward)
        return probability, successor, np.broadcast_to(reward, successor.shape)
    assert isinstance(mdp, TabularMDP)
    dense = np.asarray(mdp.transition).reshape(pairs, -1)
    # What is possible comes first: a row is then as long as the most outcomes of any pair.
    successor = np.argsort(dense <= 0, axis=1, kind="stable")[:, : (dense > 0).sum(axis=1).max()]
    take = lambda x: np.take_along_axis(np.asarray(x).reshape(pairs, -1), successor, axis=1)
    reward = mean if mdp.successor_reward is None else take(mdp.successor_reward)
    return take(dense), successor, np.broadcast_to(reward, successor.shape)


def _cumulative(probability: np.ndarray) -> np.ndarray:
    """Exactly 1 from the last possible entry on, so that none behind it is ever drawn."""
    sums = np.cumsum(probability, axis=-1)
    return sums / sums[..., -1:]


def _index(cumulative: Float[Array, " n"], draw: Float[Array, ""]) -> Int[Array, ""]:
    """The first entry whose cumulative sum exceeds `draw`."""
    return jnp.sum(cumulative <= draw, dtype=jnp.int32)
