"""The recipe of DPG: its features, its rollouts, its settings by environment."""

import dataclasses
import math

import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .. import validate
from ..algorithms.dpg import DPG, DPGModels
from ..nn.encoders import encoder
from ..nn.polynomial import LinearPolicy, PolynomialEncoder
from ..sources.buffers.latest import Latest
from ..sources.protocol import Source
from ..sources.task import AbstractTask
from ..training.loop import Loop
from .base import ActingRecipe
from .fitting import require_actions


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPGRecipe(ActingRecipe):
    """Deterministic policy gradient, compatible linear critic: on- or off-policy, continuous."""

    name = "dpg"
    action_spaces = (gym.spaces.Box,)
    algorithm: DPG = DPG()
    num_envs: int = 16
    """Environments stepped side by side, for each seed."""
    num_steps: int = 64
    """Steps of each environment in a rollout."""
    policy_degree: int = 1
    """Degree of the polynomials of the observation in which the policy is linear."""
    value_degree: int = 2
    """Degree of those in which the state's value is linear."""

    def build(self, task: AbstractTask) -> Loop:
        require_actions("DPG", task, self.action_spaces)
        for name in ("num_envs", "num_steps", "policy_degree", "value_degree"):
            validate.count(name, getattr(self, name))
        encode = encoder(task.observation_space)
        features = PolynomialEncoder(encode, self.policy_degree)
        value_features = PolynomialEncoder(encode, self.value_degree)
        shape = (features.size, math.prod(task.action_space.shape or ()))
        unknowns, rows = math.prod(shape) + value_features.size, self.num_envs * self.num_steps
        if rows < unknowns:
            raise ValueError(
                f"a rollout of num_envs × num_steps = {rows} steps cannot tell the critic's "
                f"{unknowns} unknowns; lengthen it, or lower `policy_degree` or `value_degree`."
            )

        def models(key: PRNGKeyArray) -> DPGModels:
            del key  # no randomness: the policy starts at 0
            return DPGModels(LinearPolicy(features, jnp.zeros(shape)), value_features)

        source = Source(task.rollout(self.num_envs, self.num_steps), Latest())
        return Loop(self.algorithm, source, models)
