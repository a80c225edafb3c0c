"""A policy and the value function that judges it, as one function of observation and memory."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._scan import filter_scan
from .distributions import AbstractEntropicDistribution
from .policies import AbstractBehaviour, AbstractPolicy, EntropicPolicy
from .values import StateValue


class AbstractActorCritic(eqx.Module):
    """π(a | s) and V(s), over any leading axes of the observation, which the memory shares.

    Networks apart, a trunk that both share, or a memory of what was observed: an algorithm that
    calls the two together need not know. Most remember nothing: their memory is `()`.
    """

    @abc.abstractmethod
    def __call__(
        self, observation: Any, carry: Any
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"], Any]:
        """The distribution of the action, the value of the state, and the next memory."""

    @abc.abstractmethod
    def initial_carry(self) -> Any:
        """What is remembered at the first step of an episode."""


class ActorCritic(AbstractActorCritic):
    """Two networks that share nothing."""

    actor: EntropicPolicy
    critic: StateValue

    def __call__(
        self, observation: Any, carry: Any
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"], Any]:
        distribution, carry = self.actor(observation, carry)
        return distribution, self.critic(observation), carry

    def initial_carry(self) -> Any:
        return self.actor.initial_carry()


class Actor(AbstractPolicy[AbstractEntropicDistribution]):
    """The policy within an actor–critic; the compiler leaves out what only the value needs."""

    model: AbstractActorCritic

    def __call__(self, observation: Any, carry: Any) -> tuple[AbstractEntropicDistribution, Any]:
        distribution, _, carry = self.model(observation, carry)
        return distribution, carry

    def initial_carry(self) -> Any:
        return self.model.initial_carry()


class ActingRecord(NamedTuple):
    """What `CarryBehaviour` writes down of a step."""

    log_prob: Float[Array, "*batch"]
    """log π(a | s), in nats."""
    carry: Any = ()
    """What was remembered before the step."""


class CarryBehaviour(AbstractBehaviour):
    """Draws from the policy; writes down log π(a | s) and the memory that the draw was made with.

    Where nothing is remembered, log π is all that is stored.
    """

    policy: AbstractPolicy

    def act(
        self, observation: Any, carry: Any, *, key: PRNGKeyArray
    ) -> tuple[Array, ActingRecord, Any]:
        distribution, after = self.policy(observation, carry)
        action, log_prob = distribution.sample_and_log_prob(key)
        return action, ActingRecord(log_prob, carry), after

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()


def unroll(
    model: AbstractActorCritic,
    observation: Any,
    carry: Any,
    boundary: Bool[Array, "time *batch"],
) -> tuple[AbstractEntropicDistribution, Float[Array, "time *batch"], Any]:
    """Distributions, values and the memories after each step, along the first axis.

    A memory restarts after each boundary, as it did while the steps were gathered. `carry` is
    the one before the first step, `[*batch, ...]`. The memory returned for a step has seen that
    step, and is not restarted: with it the true successor is judged, also of a truncated step.
    """
    if not jax.tree.leaves(carry):
        return model(observation, carry)  # nothing goes from step to step: all at once
    initial = model.initial_carry()

    def step(carry, row):
        observation, boundary = row
        distribution, value, after = model(observation, carry)

        def restarted(fresh, after):
            return jnp.where(boundary.reshape(*boundary.shape, *[1] * fresh.ndim), fresh, after)

        return jax.tree.map(restarted, initial, after), (distribution, value, after)

    return filter_scan(step, carry, (observation, boundary))[1]
