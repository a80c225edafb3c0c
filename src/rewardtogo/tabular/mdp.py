r"""Finite Markov decision processes $(S, A, P, r, \mu_0, \gamma)$ with known dynamics.

A terminal state is absorbing and pays nothing: an episode has ended there, and its rows hold a
self-loop so that $P$ stays stochastic. `TabularMDP` keeps $P$ dense; `SuccessorMDP`, in
`successors`, keeps for each state and action the few outcomes that are possible. Everything in
this package takes either.
"""

import abc

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from ..types import AnyArray
from .checks import as_floats, normalised, require_finite, terminal_flags
from .precision import in_float64


class AbstractMDP(eqx.Module):
    r"""A finite MDP: its mean rewards $r(s,a)$, and its dynamics through three questions."""

    reward: eqx.AbstractVar[Float[AnyArray, "states actions"]]
    initial: eqx.AbstractVar[Float[AnyArray, " states"]]
    terminal: eqx.AbstractVar[Bool[AnyArray, " states"]]
    discount: eqx.AbstractVar[float]

    @property
    @abc.abstractmethod
    def num_states(self) -> int:
        """|S|, terminal states included."""

    @property
    @abc.abstractmethod
    def num_actions(self) -> int:
        """|A|, the same in every state."""

    @abc.abstractmethod
    def expected(self, values: Float[AnyArray, " states"]) -> Float[AnyArray, "states actions"]:
        r"""$\sum_{s'} P(s' \mid s,a)\, V(s')$."""

    @abc.abstractmethod
    def policy_matrix(
        self, policy: Float[AnyArray, "states actions"]
    ) -> Float[AnyArray, "states states"]:
        r"""$P^\pi(s,s') = \sum_a \pi(a \mid s) P(s' \mid s,a)$, dense."""

    @abc.abstractmethod
    def reward_variance(self) -> Float[AnyArray, "states actions"]:
        r"""$\mathrm{Var}[r_t \mid s_t = s, a_t = a]$."""

    @abc.abstractmethod
    def draw(
        self, state: Int[Array, ""], action: Int[Array, ""], *, key: PRNGKeyArray
    ) -> tuple[Int[Array, ""], Float[Array, ""]]:
        """One step: the successor and the reward, in the program's own precision."""


class TabularMDP(AbstractMDP):
    r"""A finite MDP with dense tables; build it with `tabular_mdp`, which checks them.

    `transition`: $P(s' \mid s, a)$. `reward`: the mean $r(s, a)$. `initial`: $\mu_0$.
    `terminal`: absorbing states that pay nothing. `successor_reward`: $r(s, a, s')$ where the
    reward depends on the successor, else None. `reward_noise`: the variance of the Gaussian noise
    that is added to every reward, `[S, A]`, or None. `discount`: γ in [0, 1].
    """

    transition: Float[AnyArray, "states actions states"]
    reward: Float[AnyArray, "states actions"]
    initial: Float[AnyArray, " states"]
    terminal: Bool[AnyArray, " states"]
    successor_reward: Float[AnyArray, "states actions states"] | None = None
    reward_noise: Float[AnyArray, "states actions"] | None = None
    discount: float = eqx.field(static=True, kw_only=True)

    def __check_init__(self):
        check_discount(self.discount)

    @property
    def num_states(self) -> int:
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]

    @in_float64
    def expected(self, values: Float[AnyArray, " states"]) -> Float[AnyArray, "states actions"]:
        return jnp.asarray(self.transition) @ values

    @in_float64
    def policy_matrix(
        self, policy: Float[AnyArray, "states actions"]
    ) -> Float[AnyArray, "states states"]:
        return jnp.einsum("sa,sat->st", policy, self.transition)

    @in_float64
    def reward_variance(self) -> Float[AnyArray, "states actions"]:
        noise = jnp.zeros_like(self.reward) if self.reward_noise is None else self.reward_noise
        if self.successor_reward is None:
            return noise
        deviation = self.successor_reward - self.reward[:, :, None]
        return noise + jnp.einsum("sat,sat->sa", self.transition, deviation**2)

    def draw(
        self, state: Int[Array, ""], action: Int[Array, ""], *, key: PRNGKeyArray
    ) -> tuple[Int[Array, ""], Float[Array, ""]]:
        choice_key, noise_key = jr.split(key)
        successor = draw_index(jnp.asarray(self.transition)[state, action], key=choice_key)
        if self.successor_reward is None:
            reward = jnp.asarray(self.reward)[state, action]
        else:
            reward = jnp.asarray(self.successor_reward)[state, action, successor]
        if self.reward_noise is not None:
            deviation = jnp.sqrt(jnp.asarray(self.reward_noise)[state, action])
            reward = reward + deviation * jr.normal(noise_key, (), reward.dtype)
        return successor, reward


def draw_index(probabilities: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, ""]:
    """Draw from a distribution by its cumulative sums; what has probability 0 is never drawn."""
    cumulative = jnp.cumsum(probabilities)
    total = cumulative[-1]
    # The product may round up to the total, which would name an entry after the last possible one.
    level = jnp.minimum(jr.uniform(key, (), total.dtype) * total, jnp.nextafter(total, 0 * total))
    return jnp.sum(cumulative <= level)


def check_discount(discount: float) -> None:
    """**Raises:** `ValueError` unless it lies in [0, 1]."""
    if not 0 <= discount <= 1:
        raise ValueError(f"`discount` must lie in [0, 1]; got {discount}.")


def tabular_mdp(
    transition: ArrayLike,
    reward: ArrayLike,
    initial: ArrayLike,
    *,
    discount: float,
    terminal: ArrayLike | None = None,
    reward_noise: ArrayLike | None = None,
) -> TabularMDP:
    r"""Check the tables of an MDP and put them together.

    Puterman (1994), section 2.1. Rows that sum to 1 within float32's rounding are normalised.

    **Arguments:** `transition`: $P(s' \mid s, a)$, `[S, A, S]`. `reward`: $r(s, a)$ `[S, A]` or
    $r(s, a, s')$ `[S, A, S]`. `initial`: $\mu_0$, `[S]`. `terminal`: booleans `[S]`; what stands
    in the rows of a terminal state is replaced by a self-loop without reward. None finds the
    states that already are such. `reward_noise`: the variance, `[S, A]`, of Gaussian noise on top
    of the reward; None for no noise.
    **Raises:** `ValueError` for wrong shapes, rows that are no distribution, values that are not
    finite, and a `discount` outside [0, 1]; it names the state and the action.
    """
    check_discount(discount)
    p, r, start = (
        as_floats(name, x)
        for name, x in (("transition", transition), ("reward", reward), ("initial", initial))
    )
    _check_shapes(p, r, start)
    if terminal is None:
        absorbing = np.einsum("sas->sa", p).min(axis=1) == 1
        terminal = absorbing & np.all(r == 0, axis=tuple(range(1, r.ndim)))
    ends = terminal_flags(terminal, start.size)
    p[ends] = np.eye(start.size)[ends][:, None, :]
    r[ends] = 0
    require_finite(r)
    p, start = normalised(p, "transition"), normalised(start, "initial")
    noise = None if reward_noise is None else _checked_noise(reward_noise, p.shape[:2], ends)
    if r.ndim == 2:
        return TabularMDP(p, r, start, ends, None, noise, discount=discount)
    mean = np.einsum("sat,sat->sa", p, r)
    return TabularMDP(p, mean, start, ends, r, noise, discount=discount)


def _check_shapes(transition: np.ndarray, reward: np.ndarray, initial: np.ndarray) -> None:
    shape = transition.shape
    if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
        raise ValueError(f"`transition` must have shape [states, actions, states]; got {shape}.")
    if reward.shape not in (shape[:2], shape):
        raise ValueError(f"`reward` must have shape {shape[:2]} or {shape}; got {reward.shape}.")
    if initial.shape != shape[:1]:
        raise ValueError(f"`initial` must have shape {shape[:1]}; got {initial.shape}.")


def _checked_noise(noise: ArrayLike, shape: tuple[int, ...], ends: np.ndarray) -> np.ndarray:
    variance = as_floats("reward_noise", noise)
    if variance.shape != shape:
        raise ValueError(f"`reward_noise` must have shape {shape}; got {variance.shape}.")
    variance[ends] = 0
    require_finite(variance, "reward_noise")
    if np.any(variance < 0):
        raise ValueError(f"`reward_noise` is a variance, at least 0; got {variance.min()}.")
    return variance
