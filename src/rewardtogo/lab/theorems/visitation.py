r"""Where a policy spends its time, and the policy gradient theorem over an endless horizon.

$d^\pi = (1-\gamma) \sum_t \gamma^t d_t$ is the discounted visitation, $p^\pi$ the same without its
factor.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ...tabular.exact.evaluation import action_values, transition_matrix
from ...tabular.exact.gradient import (
    gradient_by_autodiff,
    gradient_by_recursion,
    gradient_by_theorem,
)
from ...tabular.exact.occupancy import occupancy, visitation
from .cases import derivative
from .enumeration import enumerate_trajectories, probabilities
from .tasks import Task, random_task
from .theorem import Sides, Theorem, equal, unequal


_BELOW_ONE = (0.5, 0.9, 0.95)
# γ^t, or the chance that an episode still runs, is below rounding by then.
_LONG = 1000


def _distributions(task: Task) -> Float[np.ndarray, "time states"]:
    """$d_t$ one step after another, terminal states included."""
    dynamics = np.einsum("sa,sat->st", task.policy(task.theta), task.mdp.transition)
    rows = [np.asarray(task.mdp.initial)]
    for _ in range(_LONG):
        rows.append(rows[-1] @ dynamics)
    return np.stack(rows)


def _powers(task: Task) -> Float[np.ndarray, " time"]:
    return task.mdp.discount ** np.arange(_LONG + 1, dtype=float)


def _stationary(matrix: Float[np.ndarray, "states states"]) -> Float[np.ndarray, " states"]:
    """The row vector of mass 1 that a chain leaves as it is."""
    size = len(matrix)
    system = np.concatenate([matrix.T - np.eye(size), np.ones((1, size))])
    return np.linalg.lstsq(system, np.append(np.zeros(size), 1), rcond=None)[0]


def _steps(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key)
    states = task.mdp.num_states
    policy, paths = task.policy(task.theta), enumerate_trajectories(task.mdp, horizon=3)
    chance = probabilities(paths, policy)
    places = np.concatenate([paths.state, paths.next_state[-1:]])
    live = np.flatnonzero(task.mdp.initial)
    initial = np.asarray(task.mdp.initial)[live]
    comparisons = []
    for steps in range(4):
        joint = np.zeros((states, states))
        np.add.at(joint, (places[0], places[steps]), chance)
        power = transition_matrix(task.mdp, policy, steps=steps)[live]
        what = f"P(s₀→s, {steps}, π) = [(P^π)^{steps}]"
        comparisons.append(equal(what, joint[live] / initial[:, None], power))
    return comparisons


def _flow(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key, discounts=_BELOW_ONE)
    mdp, policy, discount = task.mdp, task.policy(task.theta), task.mdp.discount
    d = visitation(mdp, policy)
    pairs = d[:, None] * policy
    into = np.einsum("sa,sat->t", pairs, mdp.transition)
    arriving = (1 - discount) * np.asarray(mdp.initial) + discount * into
    summed = (1 - discount) * (_powers(task) @ _distributions(task))
    return [
        equal("d = (1-γ) Σ γ^t d_t", d, summed),
        equal("its mass is 1", d.sum(), 1.0),
        equal("that of p is 1/(1-γ)", occupancy(mdp, policy).sum(), 1.0 / (1 - discount)),
        equal("d(s') = (1-γ)μ₀(s') + γ Σ d(s,a) P(s'|s,a)", d, arriving),
        equal("d(s',a') = π(a'|s') times the same", pairs, arriving[:, None] * policy),
        unequal("counting from t = 1 gives another", _shifted(task), d),
    ]


def _shifted(task: Task) -> Float[np.ndarray, " states"]:
    powers = _powers(task)[:-1]
    return (1 - task.mdp.discount) * (powers @ _distributions(task)[1:])


def _stationarity(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key, discounts=_BELOW_ONE, terminals=(0,))
    mdp, policy, discount = task.mdp, task.policy(task.theta), task.mdp.discount
    d, dynamics = visitation(mdp, policy), np.asarray(transition_matrix(mdp, policy))
    restart = (1 - discount) * np.asarray(mdp.initial)[None, :] + discount * dynamics
    stationary = _stationary(dynamics)
    from_there = (1 - discount) * np.linalg.solve(
        (np.eye(mdp.num_states) - discount * dynamics).T, stationary
    )
    return [
        equal("d is stationary for the chain that restarts", d, _stationary(restart)),
        unequal("d is not the stationary distribution of P^π", d, stationary),
        unequal("P^π moves it", d @ dynamics, d),
        equal("started there, the two are one", from_there, stationary),
    ]


def _episode_length(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key, discounts=(1.0,), terminals=(1,))
    p = occupancy(task.mdp, task.policy(task.theta))
    running = _distributions(task)[:, ~np.asarray(task.mdp.terminal)]
    live = task.dynamics(task.theta)[:-1, :-1]
    time_left = np.linalg.solve(np.eye(len(live)) - live, np.ones(len(live)))
    mean_length = np.asarray(task.mdp.initial)[:-1] @ time_left
    return [
        equal("at γ = 1 the mass of p is Σ_t P(the episode runs at t)", p.sum(), running.sum()),
        equal("which is the mean number of actions", p.sum(), mean_length),
    ]


def _averages(key: PRNGKeyArray) -> Sequence[Sides]:
    task, draw = random_task(key, discounts=_BELOW_ONE)
    mdp, policy = task.mdp, task.policy(task.theta)
    f = np.where(np.asarray(mdp.terminal)[:, None], 0, draw.normal(size=policy.shape))
    by_time = _powers(task) @ (_distributions(task) @ np.sum(policy * f, axis=1))
    pairs = visitation(mdp, policy)[:, None] * policy
    earned = np.sum(occupancy(mdp, policy)[:, None] * policy * mdp.reward)
    factor = 1 / (1 - mdp.discount)
    return [
        equal("E Σ γ^t f(s_t,a_t) = E_d E_π f / (1-γ)", by_time, factor * np.sum(pairs * f)),
        equal("J = Σ p^π π r", task.expected_return(task.theta), earned),
    ]


def _policy_gradient(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key, discounts=_BELOW_ONE)
    mdp, theta, score = task.mdp, task.theta, task.scores(task.theta)
    exact = derivative(task.expected_return, theta)
    policy = lambda theta: jax.nn.softmax(task.features @ theta)
    matrix, q = task.policy(theta), action_values(mdp, task.policy(theta))
    advantage = q - np.sum(matrix * q, axis=1, keepdims=True)

    def direction(weight, value):
        return np.einsum("s,sa,sad,sa->d", weight, matrix, score, value)

    d = visitation(mdp, matrix)
    factor = 1 / (1 - mdp.discount)
    by_time = _powers(task) @ np.stack([direction(x, q) for x in _distributions(task)])
    chain = _stationary(np.asarray(transition_matrix(mdp, matrix)))
    return [
        equal("E_d[∇log π Q]/(1-γ) = ∇J", factor * direction(d, q), exact),
        equal("E_d[∇log π A]/(1-γ) = ∇J", factor * direction(d, advantage), exact),
        equal("Σ_t γ^t E[∇log π Q at t] = ∇J: γ^t sits in d", by_time, exact),
        equal("by automatic differentiation", gradient_by_autodiff(mdp, policy, theta), exact),
        equal("by the theorem", gradient_by_theorem(mdp, policy, theta), exact),
        equal("by the recursion", gradient_by_recursion(mdp, policy, theta), exact),
        unequal("from the stationary distribution: not ∇J", factor * direction(chain, q), exact),
    ]


def _gradient_recursion(key: PRNGKeyArray) -> Sequence[Sides]:
    task, _ = random_task(key, terminals=(1,))
    theta, discount = task.theta, task.mdp.discount
    policy, dynamics = task.policy(theta), task.dynamics(theta)
    left = derivative(task.values, theta)
    q = action_values(task.mdp, policy)
    local = np.einsum("sa,sad,sa->sd", policy, task.scores(theta), q)
    reach, unrolled = np.eye(len(policy)), np.zeros_like(local)
    for _ in range(4):
        unrolled = unrolled + reach @ local
        reach = discount * reach @ dynamics
    return [
        equal("∇V = E_a[∇log π Q] + γ P^π ∇V", left, local + discount * dynamics @ left),
        equal("unrolled: 4 terms and γ⁴ E ∇V(s_4)", left, unrolled + reach @ left),
        unequal("E_a[∇log π Q] alone is not ∇V", left, local),
    ]


THEOREMS = (
    Theorem(
        name="state after k steps",
        statement="P(s₀→s, k, π) is an entry of the k-th power of P^π.",
        source="004 §1.4, where a product of sums stands for the power; 003",
        check=_steps,
    ),
    Theorem(
        name="flow of the visitation",
        statement="d^π is a distribution with d = (1-γ)μ₀ + γ d P^π, for pairs too; t starts at 0.",
        source="003, flow of states and of pairs; 004 §1.4; 004 §2.12, which starts at t = 1",
        check=_flow,
    ),
    Theorem(
        name="visitation and stationarity",
        statement="d^π is stationary for the chain that restarts from μ₀ with 1-γ, not for P^π.",
        source="003 and 004 §1.4, which call it stationary",
        check=_stationarity,
    ),
    Theorem(
        name="visitation without discount",
        statement="At γ = 1 the visits before the end sum to the mean length of an episode.",
        source="004 §1.4 and theorem 7; Puterman (1994), section 7.2",
        check=_episode_length,
    ),
    Theorem(
        name="averages over visits",
        statement="E Σ γ^t f(s_t, a_t) = E_{d^π, π} f / (1-γ).",
        source="003; 004 §2.7, lemma 10; 004 §2.12",
        check=_averages,
    ),
    Theorem(
        name="policy gradient theorem",
        statement="∇J = E_{d^π, π}[∇log π(a|s) Q(s,a)] / (1-γ).",
        source="000 §3, erratum; 003; 004 §2.2, theorem 7; Sutton et al. (2000), theorem 1",
        check=_policy_gradient,
    ),
    Theorem(
        name="recursion of gradients",
        statement="∇V obeys a Bellman equation whose reward is E_a[∇log π Q].",
        source="003, eq. 2; 004 §2.2, proof of theorem 7",
        check=_gradient_recursion,
    ),
)
