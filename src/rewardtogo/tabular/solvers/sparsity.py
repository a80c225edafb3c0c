"""Dense tables that are lists of outcomes in disguise."""

import jax
import numpy as np
from jaxtyping import Bool, Float

from ...types import AnyArray
from ..mdp import AbstractMDP, TabularMDP
from ..precision import in_float64
from ..successors import SuccessorMDP


# Worth it where a state and action lead to at most this share of the states, and these are many.
_SPARSE, _LARGE = 1 / 16, 256


def as_lists(mdp: AbstractMDP) -> SuccessorMDP | None:
    """A large table of mostly zeros as lists with the same means; None for any other."""
    if not isinstance(mdp, TabularMDP) or mdp.num_states < _LARGE:
        return None
    few = mdp.num_states * _SPARSE
    # A few rows tell a dense table at once; only one that may be sparse is read as a whole.
    if np.count_nonzero(np.asarray(mdp.transition[:8]), axis=2).max() > few:
        return None
    lists = to_lists(mdp)
    return lists if lists.successor.shape[1] <= few else None


def to_lists(mdp: TabularMDP) -> SuccessorMDP:
    """The same dynamics and mean rewards as lists of outcomes."""
    states, actions = mdp.num_states, mdp.num_actions
    places = np.flatnonzero(_nonzero(mdp.transition))
    row, successor = np.divmod(places, states)
    counts = np.bincount(row, minlength=states * actions)
    within = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts, counts)
    state, action = np.divmod(row, actions)
    shape = (actions, int(counts.max()), states)
    to, probability = np.zeros(shape, np.int32), np.zeros(shape)
    to[action, within, state] = successor
    probability[action, within, state] = np.asarray(mdp.transition).reshape(-1)[places]
    rest = mdp.reward, mdp.initial, mdp.terminal
    return SuccessorMDP(to, probability, *rest, discount=mdp.discount)


@in_float64
def _nonzero(
    transition: Float[AnyArray, "states actions states"],
) -> Bool[AnyArray, "states actions states"]:
    return _is_nonzero(transition)


# Compiled, it reads the table with all cores.
_is_nonzero = jax.jit(lambda table: table != 0)
