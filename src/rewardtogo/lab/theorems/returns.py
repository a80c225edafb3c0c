"""Returns and advantages estimated along a path: what they are equal to, and in mean."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...estimators.returns import (
    generalised_advantage,
    lambda_returns,
    n_step_returns,
    reward_to_go,
)
from ...losses.q_learning import bellman_target
from ...tabular.exact.evaluation import advantages, state_values
from .cases import draws_of
from .tasks import EpisodeDistribution, Task, random_episodes, random_task
from .theorem import Sides, Theorem, equal, unequal


_generalised_advantage = jax.jit(generalised_advantage)
_lambda_returns = jax.jit(lambda_returns)
_reward_to_go = jax.jit(reward_to_go)
_n_step_returns = jax.jit(n_step_returns, static_argnames="n")


@dataclasses.dataclass(frozen=True)
class _Path:
    """Random rewards and values of one stretch of steps, which ends or is cut off."""

    reward: Float[np.ndarray, " steps"]
    values: Float[np.ndarray, " steps_and_one"]
    terminated: bool
    discount: float
    trace_decay: float

    @property
    def bootstrap(self) -> Float[np.ndarray, " steps_and_one"]:
        """$V(s_0), \\dots, V(s_n)$, the last of which is 0 at a terminal state."""
        return np.append(self.values[:-1], 0 if self.terminated else self.values[-1])

    @property
    def td_errors(self) -> Float[np.ndarray, " steps"]:
        return self.reward + self.discount * self.bootstrap[1:] - self.bootstrap[:-1]

    def k_step(self, k: int) -> Float[np.ndarray, ""]:
        r"""$A^{(k)} = \sum_{l<k} \gamma^l r_l + \gamma^k V(s_k) - V(s_0)$."""
        powers = self.discount ** np.arange(k)
        earned = powers @ self.reward[:k]
        last = self.discount**k * self.bootstrap[k]
        return np.asarray(earned + last - self.bootstrap[0])

    @property
    def columns(self) -> tuple[Array, Array, Array, Array, Array]:
        """Reward, value, next value, terminated, truncated: as the library takes them."""
        last = np.arange(len(self.reward)) == len(self.reward) - 1
        ends, cut = last & self.terminated, last & (not self.terminated)
        arrays = (self.reward, self.values[:-1], self.values[1:], ends, cut)
        return tuple(jnp.asarray(x) for x in arrays)  # pyright: ignore[reportReturnType]

    def advantage(self, trace_decay: float) -> Float[np.ndarray, " steps"]:
        """The library's."""
        with jax.enable_x64(True):
            return np.asarray(
                _generalised_advantage(
                    *self.columns, discount=self.discount, trace_decay=trace_decay
                )
            )


def _random_path(key: PRNGKeyArray, steps: int = 6) -> _Path:
    draw = draws_of(key)
    return _Path(
        draw.normal(size=steps),
        draw.normal(size=steps + 1),
        terminated=bool(draw.integers(2)),
        discount=float(draw.choice((0.5, 0.9, 0.99))),
        trace_decay=float(draw.choice((0.3, 0.8, 0.95))),
    )


def _return_recursion(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, _ = random_episodes(key)
    mdp, to_go = episodes.task.mdp, episodes.to_go
    later = np.concatenate([to_go[1:], np.zeros_like(to_go[:1])])
    (values, q), policy = episodes.values, episodes.task.policy(episodes.task.theta)
    at_state, at_pair = episodes.given_state(to_go), episodes.given_pair(to_go)
    next_values = np.concatenate([values[1:], np.zeros_like(values[:1])])
    ahead = mdp.reward + mdp.discount * np.einsum("sak,tk->tsa", mdp.transition, next_values)
    return [
        equal("G_t = r_t + γ G_{t+1}", to_go, episodes.paths.reward + mdp.discount * later),
        equal("E[G_t | s] = V_t(s)", at_state, np.where(at_state == 0, 0, values)),
        equal("E[G_t | s, a] = Q_t(s, a)", at_pair, np.where(at_pair == 0, 0, q)),
        equal("V_t(s) = E_a Q_t(s, a)", values, np.einsum("sa,tsa->ts", policy, q)),
        equal("Q_t(s, a) = r + γ E V_{t+1}(s')", q, ahead),
    ]


def _td_error(key: PRNGKeyArray) -> Sequence[Sides]:
    task, draw = random_task(key, discounts=(0.5, 0.9))
    mdp, policy = task.mdp, task.policy(task.theta)
    values = np.asarray(state_values(mdp, policy))
    shift = np.where(mdp.terminal, 0, draw.normal(size=mdp.num_states))
    exact = advantages(mdp, policy)
    ahead = mdp.discount * np.einsum("sat,t->sa", mdp.transition, shift) - shift[:, None]
    without_discount = _mean_td_error(task, values, discount=1.0)
    return [
        equal("E[δ | s, a] = A with V^π", _mean_td_error(task, values), exact),
        unequal("with another V, not A", _mean_td_error(task, values + shift), exact),
        equal("but A + γ P h - h with V + h", _mean_td_error(task, values + shift), exact + ahead),
        unequal("without γ on V(s'), not A", without_discount, exact),
    ]


def _mean_td_error(
    task: Task, values: Float[np.ndarray, " states"], *, discount: float | None = None
) -> Float[np.ndarray, "states actions"]:
    r"""$E[r + \gamma V(s') - V(s) \mid s, a]$, its targets from the library's `bellman_target`."""
    mdp = task.mdp
    shape = mdp.transition.shape
    spread = lambda x: jnp.asarray(np.broadcast_to(x, shape))
    with jax.enable_x64(True):
        arrays = (spread(np.asarray(mdp.reward)[..., None]), spread(values), spread(mdp.terminal))
        chosen = mdp.discount if discount is None else discount
        target = np.asarray(bellman_target(*arrays, discount=chosen))
    return np.einsum("sat,sat->sa", mdp.transition, target) - values[:, None]


def _k_steps(key: PRNGKeyArray) -> Sequence[Sides]:
    path = _random_path(key)
    steps, discount = len(path.reward), path.discount
    powers = discount ** np.arange(steps)
    direct = np.array([path.k_step(k) for k in range(1, steps + 1)])
    summed = np.cumsum(powers * path.td_errors)
    with jax.enable_x64(True):
        reward, _, next_value, ends, cut = path.columns
        ours = [
            _n_step_returns(reward, next_value, ends, cut, discount=discount, n=k)[0]
            for k in range(1, steps + 1)
        ]
    one_power = path.reward[0] + discount * (path.reward[1] + path.values[2]) - path.values[0]
    one_too_many = np.sum((powers * path.td_errors)[:3])
    return [
        equal("A^(k) = Σ_{l<k} γ^l δ_l, each k", summed, direct),
        equal("n-step returns less V(s)", np.asarray(ours) - path.values[0], direct),
        unequal("at k = 2 γ¹ on V(s_2) gives another", one_power, direct[1]),
        unequal("at k = 2 a third δ gives another", one_too_many, direct[1]),
    ]


def _generalised(key: PRNGKeyArray) -> Sequence[Sides]:
    path = _random_path(key)
    steps, decay = len(path.reward), path.trace_decay
    ours = path.advantage(decay)
    summed = (path.discount * decay) ** np.arange(steps) @ path.td_errors
    k_steps = np.array([path.k_step(k) for k in range(1, steps + 1)])
    mixed = (1 - decay) * decay ** np.arange(steps - 1) @ k_steps[:-1]
    endless = (
        (1 - decay)
        * decay ** np.arange(2000)
        @ np.append(k_steps, np.full(2000 - steps, k_steps[-1]))
    )
    with jax.enable_x64(True):
        reward, _, *rest = path.columns
        targets = _lambda_returns(reward, *rest, discount=path.discount, trace_decay=decay)
    last = decay ** (steps - 1) * k_steps[-1]
    return [
        equal("Â = Σ_{l<n} (γλ)^l δ_l", ours[0], summed),
        equal("Â = (1-λ) Σ_{k<n} λ^{k-1} A^(k) + λ^{n-1} A^(n)", ours[0], mixed + last),
        equal("A^(k) = A^(n) for k > n: the endless mean", ours[0], endless),
        unequal("the last weight is not (1-λ)λ^{n-1}", mixed + (1 - decay) * last, ours[0]),
        equal("Â + V(s) is the λ-return", ours + path.values[:-1], np.asarray(targets)),
    ]


def _extremes(key: PRNGKeyArray) -> Sequence[Sides]:
    path = _random_path(key)
    cut = dataclasses.replace(path, terminated=False)
    unseen = dataclasses.replace(cut, values=np.append(path.values[:-1], 0))
    with jax.enable_x64(True):
        reward, _, next_value, ends, truncated = path.columns
        returns = _reward_to_go(reward, ends, truncated, next_value, discount=path.discount)
    decay = path.trace_decay
    return [
        equal("λ = 0: δ", path.advantage(0.0), path.td_errors),
        equal("λ = 1: G - V", path.advantage(1.0), np.asarray(returns) - path.values[:-1]),
        unequal(
            "cut off, V of the state after is needed", cut.advantage(decay), unseen.advantage(decay)
        ),
    ]


def _mean_of_advantages(key: PRNGKeyArray) -> Sequence[Sides]:
    episodes, draw = random_episodes(key)
    values, q = episodes.values
    live = ~np.asarray(episodes.task.mdp.terminal)
    exact = q - values[..., None]
    shift = draw.normal(size=values.shape) * live
    reached = episodes.given_pair(np.ones_like(episodes.to_go)) * live[None, :, None] > 0
    mean = lambda table, decay: _mean_advantage(episodes, table, decay)[reached]
    offset = np.broadcast_to(shift[..., None], (*shift.shape, q.shape[-1]))
    return [
        *(
            equal(
                f"E[Â | s, a] = A with exact values, λ = {decay}",
                mean(values, decay),
                exact[reached],
            )
            for decay in (0.0, 0.6, 1.0)
        ),
        unequal("with others, λ = 0.6: not A", mean(values + shift, 0.6), exact[reached]),
        equal("with V + h, λ = 1: A - h", mean(values + shift, 1.0), (exact - offset)[reached]),
    ]


def _mean_advantage(
    episodes: EpisodeDistribution, values: Float[np.ndarray, "horizon states"], trace_decay: float
) -> Float[np.ndarray, "horizon states actions"]:
    r"""$E[\hat A_t \mid s_t, a_t]$ of the library's advantages, values depending on time."""
    paths = episodes.paths
    later = np.concatenate([values[1:], np.zeros_like(values[:1])])
    time = np.arange(episodes.horizon)[:, None]
    with jax.enable_x64(True):
        arrays = (
            paths.reward,
            episodes.at_state(values),
            later[time, paths.next_state],
            episodes.terminated,
            np.zeros_like(episodes.terminated),
        )
        advantage = _generalised_advantage(
            *(jnp.asarray(x) for x in arrays),
            discount=episodes.task.mdp.discount,
            trace_decay=trace_decay,
        )
    return episodes.given_pair(np.asarray(advantage))


THEOREMS = (
    Theorem(
        name="returns and values",
        statement="G_t = r_t + γG_{t+1}; its means given s, and s and a, obey Bellman's equation.",
        source="004 §1.2, definition 2 and lemma 1",
        check=_return_recursion,
    ),
    Theorem(
        name="mean of the TD error",
        statement="E[r + γV(s') - V(s) | s, a] is the advantage when V is exact, else it is not.",
        source="004 §2.6, where a target lacks its γ; Sutton et al. (2000)",
        check=_td_error,
    ),
    Theorem(
        name="k-step advantages",
        statement="A^(k) is the sum of k discounted TD errors, with γ^k on the last value.",
        source="004 §2.10, where A^(2) has γ and three TD errors; Schulman et al. (2016), eq. 14",
        check=_k_steps,
    ),
    Theorem(
        name="generalised advantage",
        statement="After n steps the mean of k-step advantages gives λ^{n-1} to the last.",
        source="004 §2.10; Schulman et al. (2016), eq. 16",
        check=_generalised,
    ),
    Theorem(
        name="generalised advantage at the extremes",
        statement="λ = 0 is the TD error, λ = 1 the return less the value; a cut needs V after it.",
        source="004 §2.10; Schulman et al. (2016), eqs. 17 and 18",
        check=_extremes,
    ),
    Theorem(
        name="mean of generalised advantages",
        statement="With exact values every λ has mean A; with others λ = 1 is off by h(s) only.",
        source="004 §2.10; Schulman et al. (2016), section 3",
        check=_mean_of_advantages,
    ),
)
