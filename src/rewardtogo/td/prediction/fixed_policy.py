r"""A fixed policy in an environment: an environment of one action, and exact values of it.

`predict_environment` learns the policy's values. Where dynamics and policy are
deterministic, one episode from a state is its exact value: `returns_from`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from ... import validate
from ...envs.classic.base import AbstractClassicControl
from ...envs.protocol import AbstractEnvironment, Step
from ...types import AnyArray


Policy = Callable[[Float[Array, " dims"]], Int[Array, ""]]
"""The action for an observation."""


class FixedPolicyState(eqx.Module):
    """The state inside, and what is observed of it."""

    inner: Any
    observation: Float[Array, " dims"]


class FixedPolicyEnvironment(AbstractEnvironment[FixedPolicyState]):
    """The environment inside, with the policy's action in place of the one given, action 0.

    `anywhere`: whether episodes begin uniformly within the bounds of the observation, which there
    is the whole state; Sutton and Barto (2018), section 5.3, exploring starts. Otherwise as inside.
    """

    env: AbstractClassicControl
    policy: Policy = eqx.field(static=True)
    anywhere: bool = eqx.field(default=False, static=True)

    @property
    def observation_space(self) -> gym.Space:
        """That of the environment inside."""
        return self.env.observation_space

    @property
    def action_space(self) -> gym.Space:
        """One action."""
        return gym.spaces.Discrete(1)

    def reset(self, key: PRNGKeyArray) -> tuple[FixedPolicyState, Float[Array, " dims"]]:
        """As the environment inside, or anywhere."""
        if not self.anywhere:
            inner, observation = self.env.reset(key)
            return FixedPolicyState(inner, observation), observation
        space = self.env.observation_space
        assert isinstance(space, gym.spaces.Box)
        low, high = jnp.asarray(space.low), jnp.asarray(space.high)
        observation = jr.uniform(key, space.shape, low.dtype, low, high)
        return FixedPolicyState(self.env.state_from_vector(observation), observation), observation

    def step(
        self, state: FixedPolicyState, action: Shaped[Array, ""]
    ) -> tuple[FixedPolicyState, Step]:
        """Do as the policy says."""
        del action
        inner, step = self.env.step(state.inner, self.policy(state.observation))
        return FixedPolicyState(inner, step.observation), step


def returns_from(
    env: AbstractClassicControl,
    policy: Policy,
    observations: Float[AnyArray, "points dims"],
    *,
    discount: float = 1.0,
    max_steps: int = 10_000,
) -> Float[np.ndarray, " points"]:
    r"""$V^\pi$ at each point, by an episode from it: exact where nothing is random.

    `observations` are whole states, as the environment's `state_vector` writes them.

    **Raises:** `ValueError` for an episode that has not ended after `max_steps`.
    """
    validate.unit_interval("discount", discount)
    validate.count("max_steps", max_steps)

    def episode(vector: Float[Array, " dims"]):
        def step(carry):
            state, seen, time, earned, _ = carry
            state, after = env.step(state, policy(seen))
            earned = earned + discount**time * after.reward
            return state, after.observation, time + 1, earned, after.terminated

        state = env.state_from_vector(vector)
        going = lambda carry: ~carry[4] & (carry[2] < max_steps)
        start = (state, vector, jnp.int32(0), jnp.zeros((), vector.dtype), jnp.asarray(False))
        *_, earned, ended = lax.while_loop(going, step, start)
        return earned, ended

    earned, ended = jax.jit(lambda points: lax.map(episode, points))(jnp.asarray(observations))
    if not np.all(ended):
        raise ValueError(
            f"from {np.asarray(observations)[int(np.argmin(ended))]} the episode has not ended "
            f"after {max_steps} steps."
        )
    return np.asarray(earned)
