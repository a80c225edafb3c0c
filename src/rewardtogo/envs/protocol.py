"""What an environment written in JAX offers: pure, unbatched, without automatic reset."""

import abc
from typing import Any, TypeVar

import equinox as eqx
import gymnasium as gym
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped


State = TypeVar("State")


class Step(eqx.Module):
    """What one action brought about; `observation` is the true successor's."""

    observation: Any
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]  # the process ended
    truncated: Bool[Array, ""]  # only the record ended


class AbstractEnvironment[State](eqx.Module):
    """A Markov decision process that can be reset and stepped inside a compiled program.

    `reset` and `step` are pure and see one environment; sources add the batch axis with `vmap`
    and reset at the end of an episode. An environment whose steps are random keeps a key in its
    state and splits it there.
    """

    @property
    @abc.abstractmethod
    def observation_space(self) -> gym.Space:
        """Shape, dtype and bounds of an observation."""

    @property
    @abc.abstractmethod
    def action_space(self) -> gym.Space:
        """What `step` accepts."""

    @abc.abstractmethod
    def reset(self, key: PRNGKeyArray) -> tuple[State, Any]:
        """Draw s₀ ∼ μ₀; return the state and its observation."""

    @abc.abstractmethod
    def step(self, state: State, action: Shaped[Array, "..."]) -> tuple[State, Step]:
        """Draw s' ∼ P(· | s, a)."""
