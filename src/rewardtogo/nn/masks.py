"""Actions that a state forbids."""

from typing import Any, cast

import equinox as eqx
import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..spaces import action_mask
from .actor_critic import AbstractActorCritic
from .distributions import AbstractEntropicDistribution, Categorical
from .multi_discrete import MultiCategorical
from .policies import AbstractPolicy


class MaskedPolicy(AbstractPolicy[Any]):
    r"""$\pi(a \mid s) \propto m_a(s)\,\pi_\theta(a \mid s)$: what the mask forbids is never done.

    Huang and Ontañón (2022), *A Closer Look at Invalid Action Masking*, section 3. The
    probability of what is forbidden is exactly 0, its logit has no gradient, and neither have the
    forbidden actions a part in entropy or divergence. Where a state allows nothing, as the last
    one of an episode may, everything counts as allowed: no number is NaN.

    `mask` are the entries of an observation, a vector, that are 1 for what is allowed, else 0.
    """

    policy: AbstractPolicy[Categorical] | AbstractPolicy[MultiCategorical]
    mask: slice = eqx.field(static=True)

    def __call__(self, observation: Any, carry: Any) -> tuple[Categorical | MultiCategorical, Any]:
        distribution, carry = self.policy(observation, carry)
        return distribution.only(_allowed(observation, self.mask)), carry

    def initial_carry(self) -> Any:
        return self.policy.initial_carry()


class MaskedActorCritic(AbstractActorCritic):
    """The same for a policy that reads what a trunk or a memory makes of the observation."""

    model: AbstractActorCritic
    mask: slice = eqx.field(static=True)

    def __call__(
        self, observation: Any, carry: Any
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"], Any]:
        distribution, value, carry = self.model(observation, carry)
        choices = cast(Categorical | MultiCategorical, distribution)
        return choices.only(_allowed(observation, self.mask)), value, carry

    def initial_carry(self) -> Any:
        return self.model.initial_carry()

    @property
    def large_carry(self) -> bool:
        return self.model.large_carry

    def unroll(
        self, observation: Any, carry: Any, boundary: Bool[Array, "time *batch"]
    ) -> tuple[AbstractEntropicDistribution, Float[Array, "time *batch"], Any]:
        distribution, value, after = self.model.unroll(observation, carry, boundary)
        choices = cast(Categorical | MultiCategorical, distribution)
        return choices.only(_allowed(observation, self.mask)), value, after

    def next_values(self, next_observation: Any, after: Any) -> Float[Array, "time *batch"]:
        return self.model.next_values(next_observation, after)


def masked(model: AbstractActorCritic, space: gym.Space) -> AbstractActorCritic:
    """`model`, held to the mask of the observations of `space` where they have one."""
    mask = action_mask(space)
    return model if mask is None else MaskedActorCritic(model, mask)


def _allowed(observation: Any, mask: slice) -> Bool[Array, "*batch choices"]:
    return jnp.asarray(observation)[..., mask] != 0
