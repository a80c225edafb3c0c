"""Deterministic policies, noise around them while they gather, and one Q(s, a) to judge them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from ..types import Scalar
from .build import Architecture
from .distributions import AbstractDistribution
from .encoders import AbstractEncoder
from .mlp import MLP
from .policies import AbstractBehaviour, AbstractPolicy, StatelessPolicy


class PointMass(AbstractDistribution):
    r"""One action with probability 1; the event is the last axis.

    `log_prob` is that of a probability, not of a density, which there is none: 0 for the action,
    $-\infty$ for all others. It has no gradient: learn through `mode`, along the path.
    """

    action: Float[Array, "*batch dims"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch dims"]:
        del key
        return self.action

    def log_prob(self, action: Float[Array, "*batch dims"]) -> Float[Array, "*batch"]:
        same = jnp.all(action == self.action, axis=-1)
        return jnp.where(same, 0, -jnp.inf).astype(self.action.dtype)

    def sample_and_log_prob(
        self, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*batch dims"], Float[Array, "*batch"]]:
        return self.sample(key), jnp.zeros(self.action.shape[:-1], self.action.dtype)

    def mode(self) -> Float[Array, "*batch dims"]:
        return self.action


class DeterministicPolicy(StatelessPolicy[PointMass]):
    r"""$a = \mu_\theta(s) = \tanh f_\theta(s)$; Silver et al. (2014), section 2."""

    encoder: AbstractEncoder
    pre_tanh: MLP

    def distribution(self, observation: Any) -> PointMass:
        return PointMass(jnp.tanh(self.pre_tanh(self.encoder(observation))))


class Noisy(AbstractBehaviour):
    r"""$a = \mathrm{clip}(m(s) + \sigma\xi, -1, 1)$ with $\xi \sim N(0, I)$ and $m$ the mode.

    Fujimoto et al. (2018), algorithm 1. `noise` ($\sigma \ge 0$) is in the policy's units: half
    the range of an action. What is stored is the action taken, after the clip.
    """

    policy: AbstractPolicy
    noise: Scalar

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        distribution, carry = self.policy(observation, carry)
        mode = distribution.mode()
        noise = self.noise * jr.normal(key, mode.shape, mode.dtype)
        return jnp.clip(mode + noise, -1.0, 1.0), (), carry

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()


class ActionValue(eqx.Module):
    """Q_φ(s, a) of a continuous action."""

    encoder: AbstractEncoder
    value: MLP

    def __call__(
        self, observation: Any, action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        x = jnp.concatenate([self.encoder(observation), action], axis=-1)
        return self.value(x)[..., 0]


def deterministic_actor(nets: Architecture, key: PRNGKeyArray) -> DeterministicPolicy:
    """A policy on (−1, 1) without noise of its own."""
    head = nets.action_values(key)  # one output for each dimension of the action
    return DeterministicPolicy(head.encoder, head.values)


def action_value(nets: Architecture, key: PRNGKeyArray) -> ActionValue:
    """One Q(s, a) of continuous actions: the first of the twins of the same key."""
    twins = nets.twin_values(key)
    return ActionValue(twins.encoder, twins.values[0])
