"""Running normalisation of observations and rewards around any algorithm."""

from typing import Any

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..estimators.normalise import RunningMoments, running_moments
from ..nn.policies import AbstractBehaviour, AbstractPolicy
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractErrorLearner, AnyAlgorithm, error_learner


class NormalisedState(eqx.Module):
    """The statistics are saved with the parameters, and no gradient reaches them."""

    inner: Any
    observation: RunningMoments
    discounted: RunningMoments  # of the discounted sum of rewards up to each step
    running_sum: Float[Array, " env"]


class Scaling(eqx.Module):
    """What is seen of an observation; the entries `mask`, of allowed actions, stay as they are."""

    moments: RunningMoments
    clip: Scalar
    mask: slice | None = eqx.field(static=True)

    def __call__(self, observation: Any) -> Array:
        seen = self.moments.normalise(observation, clip=self.clip)
        if self.mask is None:
            return seen
        kept = jnp.asarray(observation)[..., self.mask].astype(seen.dtype)
        return seen.at[..., self.mask].set(kept)


class NormalisedBehaviour(AbstractBehaviour):
    inner: AbstractBehaviour
    scaling: Scaling

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        return self.inner.act(self.scaling(observation), carry, key=key)

    def initial_carry(self) -> Any:
        return self.inner.initial_carry()


class NormalisedPolicy(AbstractPolicy[Any]):
    inner: AbstractPolicy
    scaling: Scaling

    def __call__(self, observation: Any, carry: Any) -> tuple[Any, Any]:
        return self.inner(self.scaling(observation), carry)

    def initial_carry(self) -> Any:
        return self.inner.initial_carry()


class Normalised(AbstractErrorLearner[Any, NormalisedState, Transition]):
    r"""Gives `inner` the observations $(o - \bar o)/\sigma_o$ and rewards $r/\sigma_G$, clipped.

    $\sigma_G$ is the deviation of $\sum_k \gamma^k r_{t-k}$, so that returns have a scale near one;
    Engstrom et al. (2020), *Implementation Matters in Deep RL*, section 3. A batch is normalised by
    the statistics its actions were taken with, and joins them afterwards. Rewards can be
    normalised only where batches are rollouts, `(time, env)`.
    """

    inner: AnyAlgorithm
    observation_shape: tuple[int, ...]
    num_envs: int
    observations: bool
    rewards: bool
    discount: Scalar
    clip: Scalar = 10.0
    dtype: Any = eqx.field(static=True, default=jnp.float32)
    mask: slice | None = eqx.field(static=True, default=None)  # of actions, within observations

    def __check_init__(self):
        validate.positive("clip", self.clip)
        validate.unit_interval("discount", self.discount)

    def init(self, models: Any) -> NormalisedState:
        return NormalisedState(
            self.inner.init(models),
            running_moments(self.observation_shape, self.dtype),
            running_moments((), self.dtype),
            jnp.zeros(self.num_envs, self.dtype),
        )

    def behaviour(self, state: NormalisedState) -> AbstractBehaviour:
        inner = self.inner.behaviour(state.inner)
        if not self.observations:
            return inner
        return NormalisedBehaviour(inner, self._scaling(state))

    def policy(self, state: NormalisedState) -> AbstractPolicy:
        inner = self.inner.policy(state.inner)
        if not self.observations:
            return inner
        return NormalisedPolicy(inner, self._scaling(state))

    def update(
        self, state: NormalisedState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[NormalisedState, Metrics]:
        """Let `inner` learn from the normalised batch, then learn its statistics."""
        inner, metrics = self.inner.update(state.inner, self._normalised(state, batch), key=key)
        return self._joined_by(state, batch, inner), metrics

    def update_with_errors(
        self, state: NormalisedState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[NormalisedState, Metrics, Array]:
        """The same, of an `inner` that tells its errors."""
        seen = self._normalised(state, batch)
        trainable = error_learner(self.inner)
        inner, metrics, error = trainable.update_with_errors(state.inner, seen, key=key)
        return self._joined_by(state, batch, inner), metrics, error

    def _joined_by(self, state: NormalisedState, batch: Transition, inner: Any) -> NormalisedState:
        observation, discounted, running_sum = (
            state.observation,
            state.discounted,
            state.running_sum,
        )
        if self.observations:
            observation = observation.update(batch.observation)
        if self.rewards:
            running_sum, sums = self._discounted_sums(running_sum, batch)
            discounted = discounted.update(sums)
        return NormalisedState(inner, observation, discounted, running_sum)

    def _scaling(self, state: NormalisedState) -> Scaling:
        return Scaling(state.observation, self.clip, self.mask)

    def _normalised(self, state: NormalisedState, batch: Transition) -> Transition:
        where = lambda b: (b.observation, b.next_observation, b.reward)
        observation, next_observation, reward = where(batch)
        if self.observations:
            seen = self._scaling(state)
            observation, next_observation = seen(observation), seen(next_observation)
        if self.rewards:
            deviation = jnp.sqrt(state.discounted.variance + 1e-8)
            reward = jnp.clip(reward / deviation, -self.clip, self.clip)
        return eqx.tree_at(where, batch, (observation, next_observation, reward))

    def _discounted_sums(
        self, before: Float[Array, " env"], batch: Transition
    ) -> tuple[Float[Array, " env"], Float[Array, "time env"]]:
        def step(total, row):
            reward, boundary = row
            total = self.discount * total + reward
            return jnp.where(boundary, 0, total), total

        return lax.scan(step, before, (batch.reward.astype(self.dtype), batch.boundary))
