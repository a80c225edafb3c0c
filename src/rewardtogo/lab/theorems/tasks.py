r"""Random small tasks that the checks are made of, and a derivative that knows no theorem.

The policy is softmax-linear, $\pi_\theta(a \mid s) \propto \exp(\theta^\top\phi(s,a))$: its
parameters are shared between states, as in practice. Everything is NumPy in float64 and takes
complex parameters too, so that `derivative` can be the independent side of a check.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, Inexact, PRNGKeyArray

from ...estimators.returns import reward_to_go
from ...tabular.exact.evaluation import finite_horizon_values
from ...tabular.exact.occupancy import state_distributions
from ...tabular.mdp import TabularMDP
from ...tabular.problems.garnet import garnet
from .cases import derivative, draws_of
from .enumeration import Trajectories, enumerate_trajectories, probabilities


DISCOUNTS = (0.5, 0.9, 1.0)
# What a wrong form is off by at least: far above rounding, and small where it is nearly right.
MARGIN = 1e-9
# Compiled once for each shape: a scan that is run as it stands is compiled at each call.
_reward_to_go = jax.jit(reward_to_go)
_finite_horizon_values = jax.jit(finite_horizon_values, static_argnames="horizon")
_state_distributions = jax.jit(state_distributions, static_argnames="horizon")


@dataclasses.dataclass(frozen=True)
class Task:
    """A random MDP, features of its states and actions, and the parameters of a policy."""

    mdp: TabularMDP
    features: Float[np.ndarray, "states actions parameters"]
    theta: Float[np.ndarray, " parameters"]

    def policy(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, "states actions"]:
        weight = np.exp(self.features @ theta)
        return weight / weight.sum(axis=1, keepdims=True)

    def scores(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, "states actions d"]:
        r"""$\nabla\log\pi(a \mid s) = \phi(s,a) - \sum_b \pi(b \mid s)\,\phi(s,b)$."""
        mean = np.einsum("sa,sad->sd", self.policy(theta), self.features)
        return self.features - mean[:, None, :]

    def dynamics(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, "states states"]:
        r"""$P^\pi$, without the successors of terminal states."""
        matrix = np.einsum("sa,sat->st", self.policy(theta), self.mdp.transition)
        return np.where(np.asarray(self.mdp.terminal)[:, None], 0, matrix)

    def values(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, " states"]:
        r"""$V = (I - \gamma P^\pi)^{-1} r^\pi$."""
        reward = np.sum(self.policy(theta) * self.mdp.reward, axis=1)
        system = np.eye(self.mdp.num_states) - self.mdp.discount * self.dynamics(theta)
        return np.linalg.solve(system, reward)

    def expected_return(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, ""]:
        return np.asarray(self.mdp.initial @ self.values(theta))


def random_task(
    key: PRNGKeyArray,
    *,
    discounts: tuple[float, ...] = DISCOUNTS,
    live_states: int = 3,
    terminals: tuple[int, ...] = (0, 1),
) -> tuple[Task, np.random.Generator]:
    """A task with three parameters; discount and number of terminal states are drawn too.

    Returns also a generator for whatever else the check draws.
    """
    mdp_key, draw_key = jr.split(key)
    draw = draws_of(draw_key)
    num_terminal = int(draw.choice(terminals))
    mdp = garnet(
        num_states=live_states + num_terminal,
        num_actions=2,
        discount=float(draw.choice(discounts)),
        num_terminal=num_terminal,
        key=mdp_key,
    )
    # Half, so that few policies are nearly deterministic: there, wrong forms are right too.
    theta = 0.5 * draw.normal(size=3)
    return Task(mdp, draw.normal(size=(mdp.num_states, 2, 3)), theta), draw


@dataclasses.dataclass(frozen=True)
class EpisodeDistribution:
    """Every episode of a task up to a horizon that belongs to it: nothing is bootstrapped."""

    task: Task
    paths: Trajectories

    @property
    def horizon(self) -> int:
        return len(self.paths.state)

    @functools.cached_property
    def probability(self) -> Float[np.ndarray, " paths"]:
        return self.chances(self.task.theta)

    @functools.cached_property
    def score(self) -> Float[np.ndarray, "horizon paths parameters"]:
        r"""$g_t = \nabla\log\pi(a_t \mid s_t)$; 0 where no step was taken."""
        return self.scores(self.task.theta)

    @functools.cached_property
    def powers(self) -> Float[np.ndarray, "horizon 1"]:
        r"""$\gamma^t$."""
        return self.task.mdp.discount ** np.arange(self.horizon, dtype=float)[:, None]

    @functools.cached_property
    def terminated(self) -> Bool[np.ndarray, "horizon paths"]:
        ends = np.asarray(self.task.mdp.terminal)[self.paths.next_state]
        ends[-1] = True
        return ends

    @functools.cached_property
    def to_go(self) -> Float[np.ndarray, "horizon paths"]:
        """$G_t$, from the library's `reward_to_go`."""
        with jax.enable_x64(True):
            reward, ends = jnp.asarray(self.paths.reward), jnp.asarray(self.terminated)
            nothing = jnp.zeros_like(reward)
            never = jnp.zeros_like(ends)
            discount = self.task.mdp.discount
            return np.asarray(_reward_to_go(reward, ends, never, nothing, discount=discount))

    @functools.cached_property
    def values(self) -> tuple[Float[np.ndarray, "horizon s"], Float[np.ndarray, "horizon s a"]]:
        """$V_t$ and $Q_t$, from the library's `finite_horizon_values`."""
        with jax.enable_x64(True):
            policy = self.task.policy(self.task.theta)
            v, q = _finite_horizon_values(self.task.mdp, policy, horizon=self.horizon)
            return np.asarray(v), np.asarray(q)

    @functools.cached_property
    def visits(self) -> Float[np.ndarray, "horizon s"]:
        """$d_t$, from the library's `state_distributions`; 0 at terminal states."""
        with jax.enable_x64(True):
            policy = self.task.policy(self.task.theta)
            visits = _state_distributions(self.task.mdp, policy, horizon=self.horizon)
            return np.where(self.task.mdp.terminal, 0, visits)

    def at_state(self, table: Float[np.ndarray, "#h s"]) -> Float[np.ndarray, "horizon paths"]:
        """A table of times and states, read along each path."""
        return np.broadcast_to(table, (self.horizon, table.shape[1]))[
            np.arange(self.horizon)[:, None], self.paths.state
        ]

    def at_pair(self, table: Float[np.ndarray, "#h s a"]) -> Float[np.ndarray, "horizon paths"]:
        """A table of times, states and actions, read along each path."""
        return np.broadcast_to(table, (self.horizon, *table.shape[1:]))[
            np.arange(self.horizon)[:, None], self.paths.state, self.paths.action
        ]

    @functools.cached_property
    def discounted(self) -> Float[np.ndarray, "horizon paths"]:
        r"""$\gamma^t r_t$."""
        return self.powers * self.paths.reward

    @functools.cached_property
    def gradient(self) -> Float[np.ndarray, " parameters"]:
        r"""$\nabla J(\theta)$, from nothing but the sum over paths."""
        return derivative(self.expected_return, self.task.theta)

    def chances(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, " paths"]:
        return probabilities(self.paths, self.task.policy(theta))

    def scores(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, "horizon paths d"]:
        score = self.task.scores(theta)[self.paths.state, self.paths.action]
        return np.where(self.paths.mask[..., None], score, 0)

    def expected_return(self, theta: Inexact[np.ndarray, " d"]) -> Inexact[np.ndarray, ""]:
        return np.asarray(self.chances(theta) @ self.discounted.sum(axis=0))

    def samples(self, weight: Float[np.ndarray, "#h #n"]) -> Float[np.ndarray, "paths parameters"]:
        r"""$\sum_t g_t w_t$ on each path."""
        return np.sum(self.score * weight[..., None], axis=0)

    def mean(self, x: Float[np.ndarray, "paths *shape"]) -> Float[np.ndarray, "*shape"]:
        """The expectation of what has a value on each path."""
        return np.asarray(np.tensordot(self.probability, x, axes=1))

    def estimate(self, weight: Float[np.ndarray, "#h #n"]) -> Float[np.ndarray, " parameters"]:
        r"""$E \sum_t g_t w_t$."""
        return self.mean(self.samples(weight))

    def given_state(self, x: Float[np.ndarray, "horizon paths"]) -> Float[np.ndarray, "horizon s"]:
        r"""$E[x_t \mid s_t = s]$; 0 where $s$ cannot be reached at $t$."""
        states = self.task.mdp.num_states
        return self._given(x, self.paths.state, states)

    def given_pair(self, x: Float[np.ndarray, "horizon paths"]) -> Float[np.ndarray, "horizon s a"]:
        r"""$E[x_t \mid s_t = s, a_t = a]$; 0 where the pair cannot be at $t$."""
        states, actions = self.task.mdp.reward.shape
        pair = self.paths.state * actions + self.paths.action
        return self._given(x, pair, states * actions).reshape(-1, states, actions)

    def _given(self, x: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
        def total(weight, where):
            return np.bincount(where, weight, minlength=size)

        mass = np.stack([total(self.probability, where) for where in index])
        sums = np.stack([total(self.probability * y, at) for y, at in zip(x, index, strict=True)])
        return np.divide(sums, mass, out=np.zeros_like(sums), where=mass > 0)


def random_episodes(
    key: PRNGKeyArray,
    *,
    horizon: int = 3,
    discounts: tuple[float, ...] = DISCOUNTS,
    live_states: int = 2,
    terminals: tuple[int, ...] = (0, 1),
) -> tuple[EpisodeDistribution, np.random.Generator]:
    """All episodes of a `random_task`."""
    task, draw = random_task(key, discounts=discounts, live_states=live_states, terminals=terminals)
    return EpisodeDistribution(task, enumerate_trajectories(task.mdp, horizon=horizon)), draw
