"""Random Markov decision processes."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from ..mdp import TabularMDP, tabular_mdp
from ..precision import in_float64


def garnet(
    *,
    num_states: int,
    num_actions: int,
    discount: float,
    branching: int | None = None,
    num_terminal: int = 0,
    key: PRNGKeyArray,
) -> TabularMDP:
    """A random MDP: rows uniform on the simplex, as is μ₀, and standard normal rewards.

    Archibald, McKinnon and Thomas (1995). `branching` successors for each state and action, all
    states if None. The last `num_terminal` states are terminal and never initial.

    **Raises:** `ValueError` for counts out of range.
    """
    branching = num_states if branching is None else branching
    if not 1 <= branching <= num_states:
        raise ValueError(f"`branching` must lie in 1..{num_states}; got {branching}.")
    if not 0 <= num_terminal < num_states:
        raise ValueError(f"`num_terminal` must lie in 0..{num_states - 1}; got {num_terminal}.")
    arrays = _random_tables(num_states, num_actions, branching, num_states - num_terminal, key)
    terminal = np.arange(num_states) >= num_states - num_terminal
    return tabular_mdp(*arrays, discount=discount, terminal=terminal)


@in_float64
def _random_tables(states: int, actions: int, branching: int, live: int, key: PRNGKeyArray):
    row_key, order_key, reward_key, initial_key = jr.split(key, 4)
    # Normalised exponentials are uniform on the simplex, and compile faster than `dirichlet`.
    rows = jr.exponential(row_key, (states, actions, branching))
    rows = jnp.pad(rows / rows.sum(-1, keepdims=True), ((0, 0), (0, 0), (0, states - branching)))
    transition = jr.permutation(order_key, rows, axis=-1, independent=True)
    reward = jr.normal(reward_key, (states, actions))
    initial = jr.exponential(initial_key, (live,))
    return transition, reward, jnp.pad(initial / initial.sum(), (0, states - live))
