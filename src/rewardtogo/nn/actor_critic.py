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

    @property
    @abc.abstractmethod
    def large_carry(self) -> bool:
        """Whether what is remembered is too large to be written down at every step."""

    @abc.abstractmethod
    def unroll(
        self, observation: Any, carry: Any, boundary: Bool[Array, "time *batch"]
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "time *batch"], Any]:
        """Distributions, values and what is remembered of each step, along the first axis.

        `carry` is the one before the first step, `[*batch, ...]`; what is remembered begins anew
        after each boundary. A model may go step by step, or over all steps at once. What is
        returned last is for `next_values` alone.
        """

    @abc.abstractmethod
    def next_values(self, next_observation: Any, after: Any) -> Float[Array, "time *batch"]:
        """The values of the true successors, seen with what `unroll` remembered of their steps."""


class SteppedActorCritic(AbstractActorCritic):
    """One whose carry is small: it is unrolled step by step, and its carries are kept."""

    @property
    def large_carry(self) -> bool:
        return False

    def unroll(
        self, observation: Any, carry: Any, boundary: Bool[Array, "time *batch"]
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "time *batch"], Any]:
        """The memories after each step come last: they have seen it, and are not restarted."""
        if not jax.tree.leaves(carry):
            return self(observation, carry)  # nothing goes from step to step: all at once
        initial = self.initial_carry()

        def step(carry, row):
            observation, boundary = row
            distribution, value, after = self(observation, carry)

            def restarted(fresh, after):
                return jnp.where(boundary.reshape(*boundary.shape, *[1] * fresh.ndim), fresh, after)

            return jax.tree.map(restarted, initial, after), (distribution, value, after)

        return filter_scan(step, carry, (observation, boundary))[1]

    def next_values(self, next_observation: Any, after: Any) -> Float[Array, "time *batch"]:
        """The true successor is judged with the memory of its own step, also of a truncated one."""
        return self(next_observation, after)[1]


class ActorCritic(SteppedActorCritic):
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
    """Draws from the policy; writes down log π(a | s) and the carry that the draw was made with.

    Where nothing is remembered, or the carry is not to be kept, log π is all that is stored.
    """

    policy: AbstractPolicy
    keep_carry: bool = True

    def act(
        self, observation: Any, carry: Any, *, key: PRNGKeyArray
    ) -> tuple[Array, ActingRecord, Any]:
        distribution, after = self.policy(observation, carry)
        action, log_prob = distribution.sample_and_log_prob(key)
        return action, ActingRecord(log_prob, carry if self.keep_carry else ()), after

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()
