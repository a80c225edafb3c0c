"""Policies: an observation and a memory in, an action distribution and the next memory out."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from .distributions import (
    AbstractDistribution,
    AbstractEntropicDistribution,
    Categorical,
    DiagonalGaussian,
    TanhGaussian,
)
from .encoders import AbstractEncoder
from .mlp import MLP


LOG_STD_RANGE = (-20.0, 2.0)
"""Where a log σ that depends on the state is kept; from the code of Haarnoja et al. (2018)."""


class AbstractPolicy[D: AbstractDistribution](eqx.Module):
    """π(a | s), over any leading axes of the observation.

    Most policies remember nothing: their memory is `()`. A source carries the memory from step to
    step and puts `initial_carry` back at every episode border.
    """

    @abc.abstractmethod
    def __call__(self, observation: Any, carry: Any) -> tuple[D, Any]:
        """The distribution of the action."""

    @abc.abstractmethod
    def initial_carry(self) -> Any:
        """What is remembered at the first step of an episode."""


class StatelessPolicy[D: AbstractDistribution](AbstractPolicy[D]):
    """A policy that remembers nothing: its carry is `()`."""

    @abc.abstractmethod
    def distribution(self, observation: Any) -> D:
        """π(· | s), by this observation alone."""

    def __call__(self, observation: Any, carry: Any) -> tuple[D, Any]:
        return self.distribution(observation), carry

    def initial_carry(self) -> Any:
        return ()


class AbstractBehaviour(eqx.Module):
    """How experience is gathered: which action is taken, and what is written down beside it."""

    @abc.abstractmethod
    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        """Return the action, the record for `Transition.record`, and the next memory."""

    @abc.abstractmethod
    def initial_carry(self) -> Any:
        """What is remembered at the first step of an episode."""


class SamplingBehaviour(AbstractBehaviour):
    """Draws from the policy and writes nothing down."""

    policy: AbstractPolicy

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        distribution, carry = self.policy(observation, carry)
        return distribution.sample(key), (), carry

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()


class LogProbBehaviour(AbstractBehaviour):
    """Draws from the policy and writes down log π(a | s), in nats."""

    policy: AbstractPolicy

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        distribution, carry = self.policy(observation, carry)
        action, log_prob = distribution.sample_and_log_prob(key)
        return action, log_prob, carry

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()


EntropicPolicy = AbstractPolicy[AbstractEntropicDistribution]
"""A policy whose entropy has a closed form."""


class CategoricalPolicy(StatelessPolicy[Categorical]):
    """π(a | s) ∝ exp(f_θ(s)_a)."""

    encoder: AbstractEncoder
    logits: MLP

    def distribution(self, observation: Any) -> Categorical:
        return Categorical(self.logits(self.encoder(observation)))


class GaussianPolicy(StatelessPolicy[DiagonalGaussian]):
    """a ∼ N(f_θ(s), diag σ²) with a learned σ that does not depend on the state."""

    encoder: AbstractEncoder
    mean: MLP
    log_std: Float[Array, " action"]

    def distribution(self, observation: Any) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean(self.encoder(observation)), self.log_std)


class FixedGaussianPolicy(StatelessPolicy[DiagonalGaussian]):
    """a ∼ N(f_θ(s), σ² I) with a σ that is not learned: it is no parameter, but a constant."""

    encoder: AbstractEncoder
    mean: MLP
    log_std: float = eqx.field(static=True)

    def distribution(self, observation: Any) -> DiagonalGaussian:
        mean = self.mean(self.encoder(observation))
        return DiagonalGaussian(mean, jnp.full_like(mean, self.log_std))


class StateGaussianPolicy(StatelessPolicy[DiagonalGaussian]):
    """a ∼ N(μ_θ(s), diag σ_θ(s)²), with log σ kept within `log_std_range`."""

    encoder: AbstractEncoder
    mean_and_log_std: MLP
    log_std_range: tuple[float, float] = eqx.field(static=True, default=LOG_STD_RANGE)

    def distribution(self, observation: Any) -> DiagonalGaussian:
        mean, log_std = jnp.split(self.mean_and_log_std(self.encoder(observation)), 2, axis=-1)
        return DiagonalGaussian(mean, jnp.clip(log_std, *self.log_std_range))


class TanhGaussianPolicy(StatelessPolicy[TanhGaussian]):
    """a = tanh(u), u ∼ N(μ_θ(s), diag σ_θ(s)²), with log σ kept within `log_std_range`.

    Haarnoja et al. (2018), *Soft Actor-Critic Algorithms and Applications*, appendix C.
    """

    encoder: AbstractEncoder
    mean_and_log_std: MLP
    log_std_range: tuple[float, float] = eqx.field(static=True, default=LOG_STD_RANGE)

    def distribution(self, observation: Any) -> TanhGaussian:
        mean, log_std = jnp.split(self.mean_and_log_std(self.encoder(observation)), 2, axis=-1)
        return TanhGaussian(mean, jnp.clip(log_std, *self.log_std_range))


class UniformBehaviour(AbstractBehaviour):
    """Actions drawn uniformly from a discrete space or from [−1, 1]ⁿ, whatever is observed.

    `observation_rank` is the number of an observation's own axes; those before it are batch axes.
    """

    num_actions: int | None = eqx.field(static=True)  # None for continuous actions
    dimensions: int = eqx.field(static=True)
    observation_rank: int = eqx.field(static=True)
    dtype: Any = eqx.field(static=True, default=jnp.float32)

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        batch = observation.shape[: observation.ndim - self.observation_rank]
        if self.num_actions is not None:
            return jr.randint(key, batch, 0, self.num_actions, jnp.int32), (), carry
        shape = (*batch, self.dimensions)
        return jr.uniform(key, shape, self.dtype, -1.0, 1.0), (), carry

    def initial_carry(self) -> Any:
        return ()
