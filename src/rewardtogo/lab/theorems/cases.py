"""Random cases, and plain NumPy by sums and enumeration that shares no code with the library."""

import dataclasses
import itertools
from collections.abc import Callable

import jax.random as jr
import numpy as np
from jaxtyping import Float, Inexact, PRNGKeyArray
from numpy.random import Generator

from ...tabular.mdp import TabularMDP
from ...tabular.problems.garnet import garnet
from ...types import AnyArray


STATES, ACTIONS = 4, 3
DISCOUNTS = (0.5, 0.8, 0.9)
# Small enough for its square to vanish beside 1, so that a complex step is exact.
COMPLEX_STEP = 1e-30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A random MDP, two random policies that take every action, and a stream of numbers."""

    mdp: TabularMDP
    policy: np.ndarray
    other: np.ndarray
    draws: Generator

    @property
    def dynamics(self) -> np.ndarray:
        """P(s' | s, a)."""
        return np.asarray(self.mdp.transition)

    @property
    def reward(self) -> np.ndarray:
        """r(s, a)."""
        return np.asarray(self.mdp.reward)

    @property
    def start(self) -> np.ndarray:
        """μ₀."""
        return np.asarray(self.mdp.initial)

    @property
    def live(self) -> np.ndarray:
        """The states that are not terminal."""
        return ~np.asarray(self.mdp.terminal)

    @property
    def discount(self) -> float:
        return self.mdp.discount


def draws_of(key: PRNGKeyArray) -> Generator:
    """A NumPy stream that is a function of the key."""
    return np.random.default_rng(np.asarray(jr.key_data(key)))


def random_case(
    key: PRNGKeyArray, *, ends: bool = True, discount: float | None = None, mixing: float = 0.2
) -> Case:
    """A garnet of 4 states and 3 actions with γ in {0.5, 0.8, 0.9}.

    `ends`: half of the cases have a terminal state. `mixing`: the share of the uniform policy in
    both policies, so that no action is nearly impossible.
    """
    mdp_key, draws_key = jr.split(key)
    draws = draws_of(draws_key)
    mdp = garnet(
        num_states=STATES,
        num_actions=ACTIONS,
        discount=float(draws.choice(DISCOUNTS)) if discount is None else discount,
        num_terminal=int(draws.integers(2)) if ends else 0,
        key=mdp_key,
    )
    policy, other = (
        mixing / ACTIONS + (1 - mixing) * draws.dirichlet(np.ones(ACTIONS), STATES)
        for _ in range(2)
    )
    return Case(mdp=mdp, policy=policy, other=other, draws=draws)


def horizon_of(discount: float) -> int:
    """Steps after which $\\gamma^k$ is below rounding."""
    return int(np.ceil(np.log(1e-18) / np.log(discount)))


def chain(case: Case, policy: np.ndarray) -> np.ndarray:
    r"""$P^\pi$, state by state."""
    return np.stack([row @ table for row, table in zip(policy, case.dynamics, strict=True)])


def look(case: Case, values: np.ndarray) -> np.ndarray:
    r"""$r + \gamma P V$, state by state."""
    pairs = zip(case.reward, case.dynamics, strict=True)
    return np.stack([reward + case.discount * table @ values for reward, table in pairs])


def summed_values(case: Case, policy: np.ndarray, bonus: np.ndarray | float = 0.0) -> np.ndarray:
    r"""$\sum_k (\gamma P^\pi)^k (r^\pi + \text{bonus})$, term by term."""
    dynamics = case.discount * chain(case, policy)
    term = np.where(case.live, (policy * case.reward).sum(axis=1) + bonus, 0.0)
    total = np.zeros(len(policy))
    for _ in range(horizon_of(case.discount)):
        total, term = total + term, dynamics @ term
    return total


def summed_occupancy(case: Case, policy: np.ndarray) -> np.ndarray:
    r"""$p^\pi = \sum_k \gamma^k \mu_0^\top (P^\pi)^k$, term by term."""
    dynamics, term = case.discount * chain(case, policy), case.start
    total = np.zeros(len(policy))
    for _ in range(horizon_of(case.discount)):
        total, term = total + term, term @ dynamics
    return total


def summed_advantages(case: Case, policy: np.ndarray) -> np.ndarray:
    r"""$A^\pi$ from `summed_values`."""
    values = summed_values(case, policy)
    return look(case, values) - values[:, None]


def deterministic_policies(states: int = STATES, actions: int = ACTIONS) -> np.ndarray:
    """All |A|^|S| of them, `[policies, states, actions]`."""
    choices = np.array(list(itertools.product(range(actions), repeat=states)))
    return np.eye(actions)[choices]


def enumerated_values(
    dynamics: np.ndarray, reward: np.ndarray, discount: float, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The policies of `deterministic_policies` that keep to `allowed`, and the value of each."""
    policies = deterministic_policies(*reward.shape)
    if allowed is not None:
        policies = policies[(policies <= allowed).all(axis=(1, 2))]
    matrices = np.einsum("nsa,sat->nst", policies, dynamics)
    rewards = np.einsum("nsa,sa->ns", policies, reward)
    systems = np.eye(reward.shape[0]) - discount * matrices
    return policies, np.linalg.solve(systems, rewards[..., None])[..., 0]


def best_values(case: Case, allowed: np.ndarray | None = None) -> np.ndarray:
    r"""$V^*(s)$: the largest value over every deterministic policy."""
    return enumerated_values(case.dynamics, case.reward, case.discount, allowed)[1].max(axis=0)


def greedy(action_values: AnyArray) -> np.ndarray:
    """All probability on the first best action."""
    return np.eye(action_values.shape[1])[action_values.argmax(axis=1)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis; complex logits too."""
    powers = np.exp(logits - np.real(logits).max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    r"""$\mathrm{KL}(p \| q)$ over the last axis, for positive entries, complex ones too."""
    return np.asarray(np.sum(p * np.log(p / q), axis=-1))


def derivative(
    function: Callable[[Inexact[np.ndarray, " n"]], Inexact[np.ndarray, "..."]],
    at: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "... n"]:
    r"""$\mathrm{Im} f(x + ih e_j)/h$ for a tiny h: exact to rounding, for analytic f.

    Squire and Trapp (1998), *Using complex variables to estimate derivatives*, section 2.
    """
    moved = at + 1j * COMPLEX_STEP * np.eye(at.size)
    return np.stack([np.imag(function(point)) / COMPLEX_STEP for point in moved], axis=-1)


def complex_gradient(
    function: Callable[[np.ndarray], complex | np.ndarray], point: np.ndarray
) -> np.ndarray:
    """`derivative` of a number, in the shape of `point`."""
    flat = derivative(lambda x: np.asarray(function(x.reshape(point.shape))), point.ravel())
    return flat.reshape(point.shape)
