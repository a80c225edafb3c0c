"""What was asked of an MDP, answered in one form: optimum, soft optimum, finite horizon."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ..exact.evaluation import lookahead
from ..mdp import AbstractMDP
from .finite_horizon import optimal_finite_horizon
from .soft import soft_policy_iteration, soft_value_iteration
from .solve import Method, chosen_method, solve
from .stopping import finest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """`values`, one a state. `policy`: an action a state, or probabilities for the soft problem.

    `best`: the actions that are best as far as can be told, or most probable. `certificate`: bounds
    by name; `certified`: the same in words.
    """

    values: Float[np.ndarray, " states"]
    policy: Shaped[np.ndarray, "states *actions"]
    best: Bool[np.ndarray, "states actions"]
    method: str
    iterations: int
    converged: bool
    certificate: dict[str, float | None]
    certified: str


def answer(
    mdp: AbstractMDP,
    *,
    method: Method = Method.AUTO,
    temperature: float | None = None,
    horizon: int | None = None,
    tolerance: float | None = None,
) -> Answer:
    """Solve for the optimum, at `temperature` or over `horizon` actions where one is given.

    `tolerance` is None for 1e-8, or what float64 can certify where that is more.

    **Raises:** `ValueError` for settings that do not go together, and as the solvers.
    """
    if temperature is not None and horizon is not None:
        raise ValueError("`temperature` and `horizon` cannot be given together.")
    tolerance = max(1e-8, 4 * finest(mdp)) if tolerance is None else tolerance
    if horizon is not None:
        return _finite(mdp, horizon, method)
    if temperature is not None:
        return _soft(mdp, temperature, method, tolerance)
    return _optimum(mdp, method, tolerance)


def _optimum(mdp: AbstractMDP, method: Method, tolerance: float) -> Answer:
    found = solve(mdp, method=method, tolerance=tolerance)
    bounds = found.certificate
    error = bounds.residual if bounds.value_error is None else bounds.value_error
    numbers = {
        "residual": float(bounds.residual),
        "rounding": float(bounds.rounding),
        "value_error": None if bounds.value_error is None else float(bounds.value_error),
        "policy_loss": None if bounds.policy_loss is None else float(bounds.policy_loss),
    }
    name = _name(mdp, method)
    words = (
        f"certified: |V - V*| ≤ {numbers['value_error']:.1e} in every state; "
        f"the policy loses at most {numbers['policy_loss']:.1e}"
        if bounds.value_error is not None
        else _without_bound(name, float(bounds.residual))
    )
    return Answer(
        values=np.asarray(found.values),
        policy=np.asarray(found.policy),
        best=_tied(mdp, np.asarray(found.values), 4 * float(error)),
        method=name,
        iterations=int(found.iterations),
        converged=bool(found.converged),
        certificate=numbers,
        certified=words,
    )


def _without_bound(method: str, residual: float) -> str:
    if method == Method.POLICY_ITERATION.value:
        sure = "exact up to rounding: no action is better than the policy's"
    else:
        sure = f"a sweep changes no value by more than {residual:.1e}"
    return f"{sure}; no bound on the error exists at discount 1"


def _name(mdp: AbstractMDP, method: Method) -> str:
    return (chosen_method(mdp) if method is Method.AUTO else method).value


def _tied(
    mdp: AbstractMDP, values: Float[np.ndarray, " states"], slack: float
) -> Bool[np.ndarray, "states actions"]:
    q = np.asarray(lookahead(mdp, values))
    best = q.max(axis=1, keepdims=True)
    return q >= best - np.maximum(slack, 1e-9 * np.maximum(1, np.abs(best)))


def _soft(mdp: AbstractMDP, temperature: float, method: Method, tolerance: float) -> Answer:
    solvers = {
        Method.AUTO: soft_value_iteration,
        Method.VALUE_ITERATION: soft_value_iteration,
        Method.POLICY_ITERATION: soft_policy_iteration,
    }
    if method not in solvers:
        known = ", ".join(m.value for m in solvers)
        raise ValueError(f"`method` {method.value} is not for a temperature; use one of {known}.")
    found = solvers[method](mdp, temperature=temperature, tolerance=tolerance)
    error = None if found.value_error is None else float(found.value_error)
    policy = np.asarray(found.policy)
    words = (
        f"certified: |V - V*| ≤ {error:.1e} in every state, V* being that of the soft problem"
        if error is not None
        else "no bound on the error exists at discount 1"
    )
    return Answer(
        values=np.asarray(found.values),
        policy=policy,
        best=policy >= policy.max(axis=1, keepdims=True) - 1e-6,
        method=found.method,
        iterations=int(found.iterations),
        converged=bool(found.converged),
        certificate={"value_error": error},
        certified=words,
    )


def _finite(mdp: AbstractMDP, horizon: int, method: Method) -> Answer:
    if method is not Method.AUTO:
        raise ValueError(f"`method` {method.value} is not for a horizon; leave it out.")
    values, q, policy = optimal_finite_horizon(mdp, horizon=horizon)
    best = q[0].max(axis=1, keepdims=True)
    return Answer(
        values=np.asarray(values[0]),
        policy=np.asarray(policy[0]),
        best=np.asarray(q[0] >= best - 1e-9 * np.maximum(1, np.abs(best))),
        method="backward induction",
        iterations=horizon,
        converged=True,
        certificate={},
        certified="exact up to rounding; values and actions are those of the first step",
    )
