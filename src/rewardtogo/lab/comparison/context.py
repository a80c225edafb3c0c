r"""What the lab knows exactly of an MDP, a target policy π and a behaviour policy β.

The objective is $J_H = E \sum_{t<H} \gamma^t r_t$, so values depend on time: $V_t$, $Q_t$ count
the rewards from $t$ to the horizon, discounted to $t$, and $V_H = 0$.
"""

import dataclasses

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ... import validate
from ...tabular.exact.evaluation import finite_horizon_values
from ...tabular.exact.gradient import Policy
from ...tabular.exact.occupancy import state_distributions
from ...tabular.mdp import AbstractMDP, TabularMDP
from ...tabular.precision import in_float64
from ...tabular.successors import dense
from ...types import AnyArray


# The scores of all states and actions are kept: 800 MB of them is where it stops being a lab.
_MOST_SCORES = 10**8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """What is estimated, and from what.

    `policy`: any differentiable function from `theta`, a pytree, to $\\pi(a \\mid s)$.
    `behaviour`: β, `[S, A]`, which off-policy estimators sample. `value_error`: `[S]`, what a
    learned value function is wrong by, in standard deviations of the true one over states.
    `batch`: trajectories that one estimate averages. `trace_decay`, `n`, `clip`: of generalised
    advantages, of n-step returns and of the clipped ratio.

    **Raises:** `ValueError` for a number out of range, and for a β that never does what π may do.
    """

    mdp: AbstractMDP
    policy: Policy
    theta: PyTree
    behaviour: Float[AnyArray, "states actions"]
    value_error: Float[AnyArray, " states"]
    horizon: int = 100
    batch: int = 10
    trace_decay: float = 0.95
    n: int = 5
    clip: float = 0.2

    def __post_init__(self):
        check_numbers(horizon=self.horizon, batch=self.batch)
        validate.count("n", self.n)
        validate.unit_interval("trace_decay", self.trace_decay)
        validate.positive("clip", self.clip)
        _check_support(self)
        entries = self.mdp.num_states * self.mdp.num_actions
        parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(self.theta))
        if entries * parameters > _MOST_SCORES:
            raise ValueError(
                f"the lab keeps the score of every state and action, {entries} × {parameters} "
                f"numbers here; at most {_MOST_SCORES:,} are allowed. Take a smaller problem."
            )


def check_numbers(*, horizon: int, batch: int) -> None:
    """**Raises:** `ValueError` unless there is a step, and a batch that has others."""
    validate.count("horizon", horizon)
    validate.count("batch", batch, least=2)


def _check_support(setting: Setting) -> None:
    wanted, shape = _probabilities(setting), np.shape(setting.behaviour)
    if shape != wanted.shape:
        raise ValueError(f"`behaviour` must have shape {wanted.shape}; got {shape}.")
    missing = np.argwhere((wanted > 0) & ~(np.asarray(setting.behaviour) > 0))
    if len(missing):
        state, action = missing[0]
        raise ValueError(
            f"`behaviour` never takes action {action} in state {state}, which the policy may: "
            "no ratio corrects for that."
        )


def softmax_setting(
    mdp: AbstractMDP,
    *,
    horizon: int = 100,
    batch: int = 10,
    policy_scale: float = 0.5,
    behaviour_scale: float = 0.2,
    value_error: float = 0.2,
    key: PRNGKeyArray,
) -> Setting:
    """A tabular softmax policy with random logits, and a behaviour policy beside it.

    **Arguments:** `policy_scale`: the standard deviation of the logits θ. `behaviour_scale`: of
    what is added to them for β. `value_error`: of the learned values, relative to their spread.
    **Raises:** `ValueError` for a scale below 0, and as `Setting`.
    """
    scales = {"policy_scale": policy_scale, "behaviour_scale": behaviour_scale}
    for name, scale in {**scales, "value_error": value_error}.items():
        validate.non_negative(name, scale)
    check_numbers(horizon=horizon, batch=batch)
    with jax.enable_x64(True):
        keys = jr.split(key, 3)
        shape = (mdp.num_states, mdp.num_actions)
        theta, aside = (np.asarray(jr.normal(key, shape)) for key in keys[:2])
        error = value_error * np.asarray(jr.normal(keys[2], shape[:1]))
        theta = policy_scale * theta
        behaviour = np.asarray(jax.nn.softmax(theta + behaviour_scale * aside))
    return Setting(
        mdp=mdp,
        policy=jax.nn.softmax,
        theta=theta,
        behaviour=behaviour,
        value_error=error,
        horizon=horizon,
        batch=batch,
    )


class Process(eqx.Module):
    r"""One policy in the MDP: $d_t$ without terminal states, $V_t$ with $V_H = 0$, $Q_t$.

    `learned`: an imperfect value function, which does not see the time: the best such fit,
    $\sum_t \gamma^t d_t V_t / \sum_t \gamma^t d_t$, and an error; `[H+1, S]`, 0 at $H$.
    """

    probability: Float[AnyArray, "states actions"]
    visits: Float[AnyArray, "horizon states"]
    v: Float[AnyArray, "times states"]
    q: Float[AnyArray, "horizon states actions"]
    learned: Float[AnyArray, "times states"]


class Context(eqx.Module):
    r"""Everything an estimator or its exact mean may ask for.

    `score`: $\nabla\log\pi(a \mid s)$, `[S, A, P]`. `optimal_by_step`: the $b_t$ that give
    $\sum_t \gamma^t g_t (G_t - b_t)$ the least variance; `optimal_constant`: the best single one;
    `optimal_by_parameter`: the best $b_j$ for each parameter.
    `second_moment`: $E_\beta[\rho^2]$ of the trajectory ratio ρ, whose inverse is the share of
    trajectories that is left, the effective sample size.
    """

    mdp: TabularMDP
    target: Process
    behaviour: Process
    score: Float[AnyArray, "states actions parameters"]
    powers: Float[AnyArray, " horizon"]
    optimal_by_step: Float[AnyArray, " horizon"]
    optimal_constant: Float[AnyArray, ""]
    optimal_by_parameter: Float[AnyArray, " parameters"]
    second_moment: Float[AnyArray, ""]
    batch: int = eqx.field(static=True)
    trace_decay: float = eqx.field(static=True)
    n: int = eqx.field(static=True)
    clip: float = eqx.field(static=True)

    @property
    def ratio(self) -> Float[Array, "states actions"]:
        r"""$\pi(a \mid s) / \beta(a \mid s)$; 1 where neither acts."""
        beta = jnp.asarray(self.behaviour.probability)
        return jnp.where(beta > 0, self.target.probability / jnp.where(beta > 0, beta, 1), 1)


@in_float64
def make_context(setting: Setting) -> Context:
    """Compute all of it, by recursions over (time, state)."""
    theta = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), setting.theta)
    probability = jnp.asarray(_probabilities(setting))
    score = jax.jit(lambda theta: _scores(setting.policy, theta))(theta)
    numbers = (setting.batch, setting.trace_decay, setting.n, setting.clip)
    pair = (probability, jnp.asarray(setting.behaviour, jnp.float64))
    error = jnp.asarray(setting.value_error, jnp.float64)
    return _compiled(dense(setting.mdp), pair, score, error, setting.horizon, numbers)


def _probabilities(setting: Setting) -> np.ndarray:
    with jax.enable_x64(True):
        theta = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), setting.theta)
        return np.asarray(setting.policy(theta))


def _scores(policy: Policy, theta: PyTree) -> Float[Array, "states actions parameters"]:
    probability = policy(theta)
    leaves = jax.tree.leaves(jax.jacobian(policy)(theta))
    jacobian = jnp.concatenate([x.reshape(*probability.shape, -1) for x in leaves], axis=-1)
    possible = probability[..., None] > 0
    return jnp.where(possible, jacobian / jnp.where(possible, probability[..., None], 1), 0)


@eqx.filter_jit
def _compiled(mdp, pair, score, error, horizon: int, numbers) -> Context:
    powers = mdp.discount ** jnp.arange(horizon, dtype=jnp.float64)
    target, behaviour = (_process(mdp, policy, powers, error) for policy in pair)
    best = _optimal_baselines(mdp, target, score, powers)
    moment = _second_moment(mdp, target, behaviour, horizon)
    return Context(mdp, target, behaviour, score, powers, *best, moment, *numbers)


def _process(mdp: TabularMDP, policy, powers, error) -> Process:
    horizon = powers.size
    v, q = finite_horizon_values(mdp, policy, horizon=horizon)
    visits = state_distributions(mdp, policy, horizon=horizon)
    visits = jnp.where(mdp.terminal[None], 0, visits)
    weight = powers @ visits
    fit = jnp.einsum("t,ts,ts->s", powers, visits, v) / jnp.where(weight > 0, weight, 1)
    fit = jnp.where(weight > 0, fit, jnp.mean(v, axis=0))
    learned = jnp.where(mdp.terminal, 0, fit + jnp.std(fit) * error)
    ends = jnp.zeros_like(v[:1])
    repeated = jnp.broadcast_to(learned, v.shape)
    return Process(policy, visits, jnp.concatenate([v, ends]), q, jnp.concatenate([repeated, ends]))


def _optimal_baselines(mdp: TabularMDP, process: Process, score, powers):
    r"""$b_t$, $b$ and $b_j$ of least variance for $X = \sum_k \gamma^k g_k G_k$.

    With $p_{tj} = E[g_{tj} X_j] / \gamma^t$ and $q_{tj} = E[g_{tj}^2]$,

    $$b_t = \frac{\sum_j p_{tj}}{\sum_j q_{tj}}, \qquad
    b = \frac{\sum_{tj} \gamma^{2t} p_{tj}}{\sum_{tj} \gamma^{2t} q_{tj}}, \qquad
    b_j = \frac{\sum_t \gamma^{2t} p_{tj}}{\sum_t \gamma^{2t} q_{tj}}$$

    Weaver and Tao (2001); Greensmith, Bartlett and Baxter (2004), section 4; Peters and Schaal
    (2008), section 3.2. Scores of different steps are uncorrelated, so the steps are solved one by
    one. Three parts of $p$: of the same step; of earlier ones, whose return holds
    $\gamma^{t-k} G_t$; of later ones, through where $a_t$ leads.
    """
    policy = process.probability
    local = jnp.einsum("sa,sap,tsa->tsp", policy, score, process.q)  # E[g_t Q_t | s_t]

    def forward(earlier, visits):  # E[Σ_{k<t} g_k ; s_t]
        moved = earlier[:, None] * policy[..., None]
        moved = moved + (visits[:, None] * policy)[..., None] * score
        return jnp.einsum("sap,sau->up", moved, mdp.transition), earlier

    def backward(later, now):  # E[Σ_{k≥t} γ^{k-t} g_k G_k | s_t]
        here, visits = now
        ahead = jnp.einsum("sau,up->sap", mdp.transition, later)
        after = here + mdp.discount * jnp.einsum("sa,sap->sp", policy, ahead)
        return after, mdp.discount * jnp.einsum("s,sa,sap,sap->p", visits, policy, score, ahead)

    nothing = jnp.zeros_like(local[0])
    _, earlier = lax.scan(forward, nothing, process.visits)
    _, later = lax.scan(backward, nothing, (local, process.visits), reverse=True)
    square = jnp.einsum("ts,sa,sap->tp", process.visits, policy, score**2)
    same = jnp.einsum("ts,sa,sap,tsa->tp", process.visits, policy, score**2, process.q)
    product = same + jnp.einsum("tsp,tsp->tp", earlier, local) + later
    quotient = lambda x, y: x / jnp.where(y > 0, y, 1)
    by_step = quotient(product.sum(1), square.sum(1))
    product, square = powers**2 @ product, powers**2 @ square
    return by_step, quotient(product.sum(), square.sum()), quotient(product, square)


def _second_moment(mdp: TabularMDP, target: Process, behaviour: Process, horizon: int):
    beta = behaviour.probability
    weight = jnp.where(beta > 0, target.probability**2 / jnp.where(beta > 0, beta, 1), 0)
    weight = jnp.where(mdp.terminal[:, None], beta, weight)
    matrix = jnp.einsum("sa,sau->su", weight, mdp.transition)
    return lax.fori_loop(0, horizon, lambda _, d: d @ matrix, mdp.initial).sum()
