"""One way in to all solvers."""

import dataclasses
import enum
from collections.abc import Callable

import numpy as np

from ..exact.evaluation import lookahead
from ..exact.termination import ending_policy
from ..mdp import AbstractMDP, TabularMDP
from ..successors import SuccessorMDP
from .gauss_seidel import gauss_seidel
from .modified_policy_iteration import modified_policy_iteration
from .ordering import distances
from .policy_iteration import policy_iteration
from .solution import Solution
from .sparsity import as_lists, to_lists
from .value_iteration import value_iteration


class Method(enum.Enum):
    """How to solve; `AUTO` is what is fastest for the problem."""

    AUTO = "auto"
    VALUE_ITERATION = "value-iteration"
    POLICY_ITERATION = "policy-iteration"
    MODIFIED_POLICY_ITERATION = "modified-policy-iteration"
    GAUSS_SEIDEL = "gauss-seidel"


_SOLVERS: dict[Method, Callable[..., Solution]] = {
    Method.VALUE_ITERATION: value_iteration,
    Method.POLICY_ITERATION: policy_iteration,
    Method.MODIFIED_POLICY_ITERATION: modified_policy_iteration,
    Method.GAUSS_SEIDEL: gauss_seidel,
}
_EXACT = 2000  # states, for a dense linear solve
_SMALL, _FEW = 5000, 30  # states; steps from the best rewards


def chosen_method(mdp: AbstractMDP) -> Method:
    """What `Method.AUTO` stands for.

    At γ = 1, where only policy iteration is sure to find a policy that ends, policy iteration up to
    2,000 states. Modified policy iteration for dense tables, and for lists on which no episode
    ends and every state is a few steps from any other, so that the order of sweeps does not
    matter, or that are small. Gauss–Seidel for all other lists.
    """
    if mdp.discount == 1 and mdp.num_states <= _EXACT:
        return Method.POLICY_ITERATION
    if isinstance(mdp, SuccessorMDP) and (np.any(mdp.terminal) or _is_wide(mdp)):
        return Method.GAUSS_SEIDEL
    return Method.MODIFIED_POLICY_ITERATION


def _is_wide(mdp: SuccessorMDP) -> bool:
    return mdp.num_states > _SMALL and int(distances(mdp).max()) > _FEW


def solve(mdp: AbstractMDP, *, method: Method = Method.AUTO, tolerance: float = 1e-6) -> Solution:
    r"""Solve an MDP: optimal values, a policy, and a certificate for both.

    The methods are those of `value_iteration`, `policy_iteration`, `modified_policy_iteration`
    and `gauss_seidel`. `AUTO` takes dense tables of mostly zeros as lists. At γ = 1 the policy is
    one of the optimal ones that end.

    **Arguments:** `tolerance`: the bound on the error of the values, in reward units; at γ = 1,
    where no bound exists, on what a sweep still changes.
    **Raises:** `ValueError` for a tolerance that float64 cannot certify; at γ = 1 if some state
    cannot reach a terminal one, or the optimal value is infinite.
    """
    if not isinstance(mdp, AbstractMDP):
        raise ValueError(
            "`mdp` must be an MDP, such as `problem(name).mdp` or what `tabular_mdp` returns; "
            f"got a {type(mdp).__name__}."
        )
    method = Method(method)  # so that its value will do as well
    if method is Method.AUTO:
        mdp = as_lists(mdp) or mdp
        method = chosen_method(mdp)
    if method is Method.GAUSS_SEIDEL and isinstance(mdp, TabularMDP):
        mdp = to_lists(mdp)
    found = _SOLVERS[method](mdp, tolerance=tolerance)
    if mdp.discount < 1 or method is Method.POLICY_ITERATION:
        return found
    return _with_ending_policy(mdp, found)


def _with_ending_policy(mdp: AbstractMDP, found: Solution) -> Solution:
    """Of tied actions at γ = 1 choose those that end: others may lead round in circles."""
    if not found.converged:
        raise ValueError(
            f"`discount` is 1 and the values still change by {float(found.certificate.residual):g} "
            f"after {int(found.iterations)} sweeps: the optimal value may be infinite."
        )
    q = np.asarray(lookahead(mdp, found.values))
    best = q.max(axis=1, keepdims=True)
    close = 1e-9 * np.maximum(1, np.abs(best)) + 10 * float(found.certificate.residual)
    return dataclasses.replace(found, policy=ending_policy(mdp, allowed=q >= best - close))
