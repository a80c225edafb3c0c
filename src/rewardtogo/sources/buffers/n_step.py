"""Returns of several steps, summed when a step is drawn from a ring."""

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Int

from ...types import Replayed, Scalar, Transition


def n_step(
    ring: Transition,
    row: Int[Array, "*batch"],
    env: Int[Array, "*batch"],
    *,
    newest: Int[Array, ""],
    num_steps: int,
    discount: Scalar,
) -> Transition:
    r"""The steps at `row` and `env`, with the rewards of up to $n$ = `num_steps` steps in one:

    $$R = \sum_{k<m} \gamma^k r_{t+k}, \qquad \text{to be followed by } \gamma^m v(s_{t+m})$$

    where $m$ is the least of $n$, the steps to the end of the episode and the steps to the newest
    one stored; Sutton (1988), Hessel et al. (2018), section "Multi-step learning". Successor and
    flags are those of step $t + m - 1$, and $\gamma^m$ is in the record. The actions in between are
    those once taken, not those that the policy learned would take: nothing corrects that.

    **Arguments:** `ring`: fields `[row, env, ...]`; row 0 follows the last one. `newest`: the row
    written last.
    """
    rows = ring.reward.shape[0]
    ahead = lax.broadcasted_iota(row.dtype, (*row.shape, num_steps), row.ndim)
    path, column = (row[..., None] + ahead) % rows, env[..., None]
    boundary = ring.terminated[path, column] | ring.truncated[path, column]
    ended = jnp.asarray(boundary, jnp.int32)
    same_episode = jnp.cumsum(ended, axis=-1) == ended
    stored = ahead <= ((newest - row) % rows)[..., None]
    counted = stored & same_episode
    m = jnp.sum(counted, axis=-1)
    last = (row + m - 1) % rows
    powers = jnp.asarray(discount, ring.reward.dtype) ** jnp.arange(num_steps + 1)
    reward = jnp.sum(jnp.where(counted, ring.reward[path, column], 0) * powers[ahead], axis=-1)
    first = lambda field: jax.tree.map(lambda x: x[row, env], field)
    final = lambda field: jax.tree.map(lambda x: x[last, env], field)
    return Transition(
        first(ring.observation),
        first(ring.action),
        reward,
        final(ring.next_observation),
        final(ring.terminated),
        final(ring.truncated),
        Replayed(powers[m], jnp.ones_like(reward)),
    )
