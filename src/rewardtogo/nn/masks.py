"""Actions that a state forbids."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .distributions import Categorical
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

    def __call__(self, observation: Any, memory: Any) -> tuple[Categorical | MultiCategorical, Any]:
        distribution, memory = self.policy(observation, memory)
        return distribution.only(jnp.asarray(observation)[..., self.mask] != 0), memory

    def initial_memory(self) -> Any:
        return self.policy.initial_memory()
