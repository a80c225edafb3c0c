"""Linear systems of chains with many states, each leading to few: SciPy's sparse factorisation."""

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg
from jaxtyping import Float

from ..successors import SuccessorMDP


def sparse_state_values(
    mdp: SuccessorMDP, policy: Float[np.ndarray, "states actions"]
) -> Float[np.ndarray, " states"]:
    r"""$(I - \gamma P^\pi)^{-1} r^\pi$ over the states that are not terminal, which are worth 0."""
    live = ~np.asarray(mdp.terminal)
    weight = np.asarray(policy).T[:, None, :] * np.asarray(mdp.probability)
    used = weight > 0
    states = np.broadcast_to(np.arange(mdp.num_states, dtype=np.int32), weight.shape)
    edges = states[used], np.asarray(mdp.successor)[used]
    dynamics = sp.csr_array((weight[used], edges), shape=(mdp.num_states, mdp.num_states))
    dynamics = dynamics[live][:, live]
    system = sp.eye_array(dynamics.shape[0], format="csc") - mdp.discount * dynamics
    reward = np.sum(np.asarray(policy) * np.asarray(mdp.reward), axis=1)
    values = np.zeros(mdp.num_states)
    values[live] = np.asarray(scipy.sparse.linalg.spsolve(sp.csc_array(system), reward[live]))
    return values
