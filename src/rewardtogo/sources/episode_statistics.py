"""Returns and lengths of the episodes that gathering finishes."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..types import AnyArray


class EpisodeStatistics(eqx.Module):
    """Running sums, one an environment; `finished_*` are since the last `drained`."""

    episode_return: Float[AnyArray, "*seed env"]
    episode_length: Int[AnyArray, "*seed env"]
    finished_return: Float[AnyArray, "*seed env"]
    finished_length: Int[AnyArray, "*seed env"]
    finished: Int[AnyArray, "*seed env"]

    def add(
        self, reward: Float[Array, " env"], boundary: Bool[Array, " env"]
    ) -> "EpisodeStatistics":
        """Count one step of every environment."""
        episode_return = self.episode_return + reward.astype(jnp.float32)
        episode_length = self.episode_length + 1
        return EpisodeStatistics(
            jnp.where(boundary, 0, episode_return),
            jnp.where(boundary, 0, episode_length),
            self.finished_return + jnp.where(boundary, episode_return, 0),
            self.finished_length + jnp.where(boundary, episode_length, 0),
            self.finished + boundary,
        )

    def drained(self) -> "EpisodeStatistics":
        """Start the next report: forget the finished episodes, keep those under way."""
        return EpisodeStatistics(
            self.episode_return,
            self.episode_length,
            jnp.zeros_like(self.finished_return),
            jnp.zeros_like(self.finished_length),
            jnp.zeros_like(self.finished),
        )


def no_statistics(num_envs: int) -> EpisodeStatistics:
    """Nothing counted yet."""
    zero, none = jnp.zeros(num_envs, jnp.float32), jnp.zeros(num_envs, jnp.int32)
    return EpisodeStatistics(zero, none, zero, none, none)
