"""In which order states are swept, so that one sweep carries news as far as it can go.

The value of a state depends on its successors. Sweeping backwards from where the best reward is
earned, nearest states first, lets a value travel along a whole path in a single sweep; in any other
order it may advance by one state a sweep. States at the same distance make up blocks of a fixed
width, which are updated together: wide enough for vector instructions, and never across a border
between two distances.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from ..checks import aligned
from ..successors import SuccessorMDP


# Measured: a block costs as much as two of its states, and wider ones than 16 cost more a state.
_WIDTHS = (1, 2, 4, 8, 16)
_BLOCK_COST = 2


class Blocks(NamedTuple):
    """An MDP's lists in the order of a sweep.

    Place `n * width + i` is entry i of block n; `state_at` names the state there, `place_of` is its
    inverse, and successors are places too. Blocks that a distance does not fill repeat its first
    state.
    """

    successor: Int[np.ndarray, "blocks actions outcomes width"]
    probability: Float[np.ndarray, "blocks actions outcomes width"]
    reward: Float[np.ndarray, "blocks actions width"]
    state_at: Int[np.ndarray, " places"]
    place_of: Int[np.ndarray, " states"]


def blocks(mdp: SuccessorMDP) -> Blocks:
    """Lay the lists of `mdp` out for sweeps backwards from its best rewards."""
    level = distances(mdp)
    order = np.argsort(level, kind="stable").astype(np.int32)
    sizes = np.bincount(level)
    width = _best_width(sizes)
    needed = -(-sizes // width)
    first_block = np.cumsum(needed) - needed
    first_state = np.cumsum(sizes) - sizes
    sorted_level = level[order]
    places = first_block[sorted_level] * width + np.arange(order.size) - first_state[sorted_level]
    state_at = np.repeat(order[first_state], needed * width)
    state_at[places] = order
    place_of = np.empty(order.size, np.int32)
    place_of[order] = places
    split = lambda x: np.moveaxis(x.reshape(*x.shape[:-1], -1, width), -2, 0)
    lay_out = lambda x: aligned(split(np.asarray(x)[..., state_at]), x.dtype.type)
    return Blocks(
        aligned(split(place_of[np.asarray(mdp.successor)[..., state_at]]), np.int32),
        lay_out(mdp.probability),
        lay_out(np.asarray(mdp.reward).T),
        state_at,
        place_of,
    )


def distances(mdp: SuccessorMDP) -> Int[np.ndarray, " states"]:
    """The least number of steps in which a state can reach one where the best reward is earned.

    States that cannot come last, all together.
    """
    best = np.where(mdp.terminal, 0, np.max(np.asarray(mdp.reward), axis=1))
    start, sources = _predecessors(mdp)
    level = np.full(mdp.num_states, -1, np.int32)
    mark = np.empty(mdp.num_states, np.int32)
    frontier = np.flatnonzero(best >= best.max() - 1e-9 * max(1, np.ptp(best)))
    distance = 0
    while frontier.size:
        level[frontier] = distance
        distance += 1
        lengths = start[frontier + 1] - start[frontier]
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        found = sources[np.repeat(start[frontier], lengths) + within]
        found = found[level[found] < 0]
        # Each state once: the last of its copies to be written here keeps its mark.
        mark[found] = np.arange(found.size)
        frontier = found[mark[found] == np.arange(found.size)]
    level[level < 0] = distance
    return level


def _predecessors(mdp: SuccessorMDP) -> tuple[np.ndarray, np.ndarray]:
    """For each state, from `start[s]` to `start[s + 1]`, the states that may lead to it."""
    successor = np.asarray(mdp.successor)
    possible = np.asarray(mdp.probability) > 0
    states = np.broadcast_to(np.arange(mdp.num_states, dtype=np.int32), successor.shape)
    edges = (states[possible], successor[possible])
    ones = np.ones(edges[0].size, bool)
    shape = (mdp.num_states, mdp.num_states)
    graph = sp.csc_array((ones, edges), shape=shape)
    return graph.indptr, graph.indices


def _best_width(sizes: np.ndarray) -> int:
    cost = lambda width: np.sum(-(-sizes // width)) * (_BLOCK_COST + width)
    return min(_WIDTHS, key=cost)
