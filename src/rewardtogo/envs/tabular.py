"""Finite MDPs as environments, and the exact optimum of what is learned there."""

import dataclasses

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, Shaped

from ..tabular.mdp import AbstractMDP, draw_index
from ..tabular.problems.problem import Problem
from ..tabular.solvers.finite_horizon import optimal_finite_horizon_return
from ..types import AnyArray, Optimum
from .history import WithHistory
from .protocol import AbstractEnvironment, Step
from .wrappers import TimeLimit


class TabularState(eqx.Module):
    """The state's number, and the key of the steps to come."""

    index: Int[Array, ""]
    key: PRNGKeyArray


class TabularEnvironment(AbstractEnvironment[TabularState]):
    r"""A finite MDP to act in: $s_0 \sim \mu_0$ and $s' \sim P(\cdot \mid s, a)$.

    An episode ends in a terminal state. What is seen is the state's number, or `observation[s]`
    where that is given, of which several states may have the same. Rewards are not discounted: the
    discount is the algorithm's. Tables are cast to the program's precision, float32 in training.
    There is no limit on time.

    **Raises:** `ValueError` if an episode could begin in a terminal state, or `observation` is not
    one whole number a state that together number what can be seen from 0 on.
    """

    mdp: AbstractMDP
    observation: Int[AnyArray, " states"] | None = None

    def __check_init__(self):
        over = np.flatnonzero((np.asarray(self.mdp.initial) > 0) & np.asarray(self.mdp.terminal))
        if over.size:
            raise ValueError(
                f"`initial` is {self.mdp.initial[over[0]]} at state {over[0]}, which is terminal: "
                "no episode can begin there."
            )
        if self.observation is not None:
            _require_numbered(self.observation, self.mdp.num_states)

    @property
    def observation_space(self) -> gym.Space:
        """A number for each thing that can be seen."""
        if self.observation is None:
            return gym.spaces.Discrete(self.mdp.num_states)
        return gym.spaces.Discrete(int(np.max(self.observation)) + 1)

    @property
    def action_space(self) -> gym.Space:
        """The MDP's actions."""
        return gym.spaces.Discrete(self.mdp.num_actions)

    def reset(self, key: PRNGKeyArray) -> tuple[TabularState, Int[Array, ""]]:
        """Draw s₀ ∼ μ₀."""
        draw_key, key = jr.split(key)
        index = draw_index(jnp.asarray(self.mdp.initial), key=draw_key).astype(jnp.int32)
        return TabularState(index, key), self._observe(index)

    def step(self, state: TabularState, action: Shaped[Array, ""]) -> tuple[TabularState, Step]:
        """Draw the successor and the reward from the tables."""
        draw_key, key = jr.split(state.key)
        successor, reward = self.mdp.draw(state.index, action, key=draw_key)
        index = successor.astype(jnp.int32)
        terminated = jnp.asarray(self.mdp.terminal)[index]
        return TabularState(index, key), Step(
            self._observe(index), reward, terminated, jnp.zeros_like(terminated)
        )

    def _observe(self, index: Int[Array, ""]) -> Int[Array, ""]:
        return (
            index if self.observation is None else jnp.asarray(self.observation, jnp.int32)[index]
        )


def _require_numbered(observation: Int[AnyArray, " n"], num_states: int) -> None:
    seen = np.unique(observation)
    if observation.shape != (num_states,) or not np.array_equal(seen, np.arange(seen.size)):
        raise ValueError(
            f"`observation` must hold a whole number for each of {num_states} states, all of "
            f"0..m−1 for m different ones; got shape {observation.shape} with {seen.tolist()[:8]}."
        )


def environment_of(problem: Problem) -> TimeLimit:
    """The problem as an environment, with its limit on time.

    Where the problem has none, it is the length of the longest possible episode; but an episode is
    cut after 10·|S| steps, at least 200 and at most 1000, so that a policy that never ends does not
    hold up training, whole episodes fit into memory, and most random walks reach their end.

    **Raises:** `ValueError` as `TabularEnvironment`.
    """
    environment = TabularEnvironment(problem.mdp, problem.observation)
    return TimeLimit(environment, problem.max_steps or _limit(problem.mdp))


def _limit(mdp: AbstractMDP) -> int:
    most = min(max(10 * mdp.num_states, 200), 1000)
    terminal = np.asarray(mdp.terminal)
    going = ~terminal  # the states from which an episode may last longer than `steps` steps
    for steps in range(most):
        if not going.any():
            return steps
        before, going = going, (mdp.expected(going.astype(float)) > 0).any(axis=1) & ~terminal
        if np.array_equal(going, before):
            break
    return most


def exact_optimum(environment: AbstractEnvironment) -> Optimum | None:
    r"""$\max_\pi \mathbb{E}[\sum_{t<H} r_t]$ by backward induction from $V_H = 0$.

    Puterman (1994), section 4.5, at γ = 1, with H the limit on time. None for an environment that
    is not a finite MDP with a limit.
    """
    if not isinstance(environment, TimeLimit):
        return None
    inside, steps = environment.env, environment.max_steps
    if isinstance(inside, WithHistory):
        inside = inside.env
    if not isinstance(inside, TabularEnvironment):
        return None
    undiscounted = dataclasses.replace(inside.mdp, discount=1.0)
    value = float(optimal_finite_horizon_return(undiscounted, horizon=steps))
    return Optimum(value, steps, inside.observation is not None)
