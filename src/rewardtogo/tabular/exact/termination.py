"""Does an episode end? At γ = 1 everything hangs on it."""

import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, Int

from ...types import AnyArray
from ..mdp import AbstractMDP


def check_policy_ends(mdp: AbstractMDP, policy: Float[AnyArray, "states actions"]) -> None:
    """Refuse an undiscounted problem in which some state can never reach a terminal one.

    Traced policies pass unchecked: their probabilities are not known yet.

    **Raises:** `ValueError` naming such a state, if `mdp.discount` is 1.
    """
    if mdp.discount < 1 or isinstance(policy, Tracer):
        return
    never = ~_reaching(mdp, np.asarray(policy) > 0)
    if never.any():
        raise ValueError(
            f"`discount` is 1 and the policy never ends from state {int(np.argmax(never))}: "
            "its return is infinite or undefined. Use a discount below 1 or a finite horizon."
        )


def ending_policy(
    mdp: AbstractMDP, *, allowed: Bool[np.ndarray, "states actions"] | None = None
) -> Int[np.ndarray, " states"]:
    """An action for each state, of those allowed, such that every episode may end.

    **Raises:** `ValueError` naming a state from which no terminal state can be reached.
    """
    allowed = np.ones((mdp.num_states, mdp.num_actions), bool) if allowed is None else allowed
    ends = np.array(mdp.terminal)
    chosen = allowed.argmax(axis=1)
    while True:
        into = (np.asarray(mdp.expected(ends.astype(np.float64))) > 0) & allowed
        new = into.any(axis=1) & ~ends
        if not new.any():
            break
        chosen[new] = into[new].argmax(axis=1)
        ends |= new
    if not ends.all():
        raise ValueError(
            f"`discount` is 1 and no terminal state can be reached from state {np.argmin(ends)}: "
            "returns are infinite or undefined. Use a discount below 1 or a finite horizon."
            if np.any(mdp.terminal)
            else "`discount` is 1 and there is no terminal state: returns are infinite or "
            "undefined. Use a discount below 1 or a finite horizon."
        )
    return chosen


def _reaching(mdp: AbstractMDP, allowed: np.ndarray) -> np.ndarray:
    """The states from which a terminal one is reached with positive probability."""
    ends = np.asarray(mdp.terminal)
    while True:
        into = np.asarray(mdp.expected(ends.astype(np.float64))) > 0
        more = ends | np.any(into & allowed, axis=1)
        if (more == ends).all():
            return ends
        ends = more
