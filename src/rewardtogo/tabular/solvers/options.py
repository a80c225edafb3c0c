"""What every solver asks of its arguments before anything is compiled."""

import dataclasses

import numpy as np
from jax.core import Tracer

from ... import validate
from ..ends import ending_policy
from ..mdp import AbstractMDP
from ..successors import SuccessorMDP


def check(mdp: AbstractMDP, tolerance: float, max_iterations: int) -> None:
    """Refuse what cannot be solved to the tolerance.

    **Raises:** `ValueError` for a tolerance that is not positive, or finer than float64 can certify
    for this problem; for a count below 1; at γ = 1 where an end cannot be reached from everywhere.
    """
    validate.positive("tolerance", tolerance)
    validate.count("max_iterations", max_iterations)
    if isinstance(mdp.reward, Tracer):
        return
    if mdp.discount == 1:
        ending_policy(mdp)
        return
    if tolerance < finest(mdp):
        raise ValueError(
            f"`tolerance` is {tolerance:g}; with rewards up to {_largest_reward(mdp):g} and "
            f"discount {mdp.discount:g}, float64 can certify no better than {finest(mdp):.1g}."
        )


def finest(mdp: AbstractMDP) -> float:
    r"""About the least error of the values that float64 can certify; 0 at γ = 1, where none is.

    A sweep rounds values of up to $\max|r|/(1-\gamma)$, and the bound is $1/(1-\gamma)$ times that.
    """
    if mdp.discount == 1:
        return 0.0
    return 4 * float(np.finfo(np.float64).eps) * _largest_reward(mdp) / (1 - mdp.discount) ** 2


def _largest_reward(mdp: AbstractMDP) -> float:
    return float(np.max(np.abs(mdp.reward)))


def outcomes(mdp: AbstractMDP) -> int:
    """How many products are summed for one expected value."""
    return mdp.successor.shape[1] if isinstance(mdp, SuccessorMDP) else mdp.num_states


def undiscounted(mdp: AbstractMDP) -> AbstractMDP:
    """The same tables at γ = 1. Solvers take γ as a number: another one does not compile anew."""
    return dataclasses.replace(mdp, discount=1.0)
