r"""What each estimator multiplies the scores $\nabla\log\pi(a_t \mid s_t)$ with, from samples.

Functions of a batch `[time, episode]` and the context, built from the library's own returns,
baselines and losses. What they give outside the mask is not used.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...estimators import baselines, importance, off_policy, returns
from ...losses.policy_gradient import clipped_surrogate
from ...types import AnyArray
from .context import Context, Process
from .sampling import Batch


Weights = Callable[[Batch, Context], Float[Array, "time episode"]]
Correction = Callable[[Float[Array, "time episode"]], Float[Array, "time episode"]]
Choose = Callable[[Context], Process]
Values = Callable[[Process], Float[AnyArray, "times states"]]


def on(context: Context) -> Process:
    """The target policy."""
    return context.target


def off(context: Context) -> Process:
    """The behaviour policy."""
    return context.behaviour


def exact(process: Process) -> Float[AnyArray, "times states"]:
    """The true $V_t$."""
    return process.v


def learned(process: Process) -> Float[AnyArray, "times states"]:
    """The imperfect values."""
    return process.learned


def _column(by_time: Float[AnyArray, " time"]) -> Float[Array, "time 1"]:
    return jnp.asarray(by_time)[:, None]


def _at(table: Float[AnyArray, "time ..."], *index: AnyArray) -> Float[Array, "time episode"]:
    time = jnp.arange(index[0].shape[0])[:, None]
    return jnp.asarray(table)[(time, *index)]


def to_go(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    """$G_t$, without γ^t."""
    nothing = jnp.zeros_like(batch.reward)
    return returns.reward_to_go(
        batch.reward, batch.terminated, batch.truncated, nothing, discount=context.mdp.discount
    )


def powered(weights: Weights) -> Weights:
    """γ^t times `weights`: what the gradient of $J$ has."""
    return lambda batch, context: _column(context.powers) * weights(batch, context)


def full_return(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    """$G_0$ at every step."""
    gains = to_go(batch, context)
    return jnp.broadcast_to(gains[:1], gains.shape)


def less(baseline: Callable[[Context], Float[AnyArray, "horizon states"]]) -> Weights:
    """$G_t - b_t(s_t)$, for a table of them."""
    return lambda batch, context: to_go(batch, context) - _at(baseline(context), batch.state)


def less_own(baseline: Callable) -> Weights:
    """$G_t$ less a baseline that the batch gives itself."""

    def weights(batch, context):
        gains = to_go(batch, context)
        return gains - baseline(gains, batch.mask)

    return weights


def weigh_exactly(table: Callable[[Context], Float[AnyArray, "horizon states actions"]]) -> Weights:
    """A table's entry at $(t, s_t, a_t)$."""
    return lambda batch, context: _at(table(context), batch.state, batch.action)


def _around(batch: Batch, values: Float[AnyArray, "times states"]):
    return _at(values[:-1], batch.state), _at(values[1:], batch.next_state)


def gae(choose: Choose, values: Values, *, trace_decay: float | None = None) -> Weights:
    """Generalised advantages; `trace_decay` None takes the setting's."""

    def weights(batch, context):
        decay = context.trace_decay if trace_decay is None else trace_decay
        return returns.generalised_advantage(
            batch.reward,
            *_around(batch, values(choose(context))),
            batch.terminated,
            batch.truncated,
            discount=context.mdp.discount,
            trace_decay=decay,
        )

    return weights


def lambda_return(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    """The λ-return of the learned values, with nothing taken off."""
    _, after = _around(batch, context.target.learned)
    return returns.lambda_returns(
        batch.reward,
        after,
        batch.terminated,
        batch.truncated,
        discount=context.mdp.discount,
        trace_decay=context.trace_decay,
    )


def n_step(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    """The n-step return of the learned values, less their own value."""
    value, after = _around(batch, context.target.learned)
    gains = returns.n_step_returns(
        batch.reward,
        after,
        batch.terminated,
        batch.truncated,
        discount=context.mdp.discount,
        n=context.n,
    )
    return gains - value


def _log_ratio(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    # Of the table and not of the steps, which are many more.
    taken = jnp.log(context.ratio)[batch.state, batch.action]
    return jnp.where(batch.mask, taken, 0)


def _ratio(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    return importance.step_ratio(_log_ratio(batch, context))


def corrected(correction: Correction, weights: Weights) -> Weights:
    """`weights` times a correction of `estimators.importance`."""
    return lambda batch, context: correction(_log_ratio(batch, context)) * weights(batch, context)


def clipped_ratio(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    r"""$\mathrm{clip}(\rho_t, 1 - \epsilon, 1 + \epsilon) G_t$."""
    correction = importance.clipped_ratio(_log_ratio(batch, context), clip=context.clip)
    return correction * to_go(batch, context)


def per_decision(batch: Batch, context: Context) -> Float[Array, "time episode"]:
    r"""$\sum_{k \ge t} \gamma^{k-t} \rho_{0:k} r_k$."""
    ratio = importance.prefix_ratio(_log_ratio(batch, context))
    return returns.reward_to_go(
        ratio * batch.reward,
        batch.terminated,
        batch.truncated,
        jnp.zeros_like(batch.reward),
        discount=context.mdp.discount,
    )


def vtrace(values: Values) -> Weights:
    """The advantages of V-trace, from values of the target policy; both clips and λ are 1."""

    def weights(batch, context):
        return off_policy.vtrace(
            batch.reward,
            *_around(batch, values(context.target)),
            batch.terminated,
            batch.truncated,
            _ratio(batch, context),
            discount=context.mdp.discount,
        ).advantage

    return weights


def clipped(advantage: Weights) -> Weights:
    """What the clipped surrogate's gradient multiplies each score with."""

    def weights(batch, context):
        gain = advantage(batch, context)
        old = jnp.zeros_like(gain)
        loss = lambda log_ratio: clipped_surrogate(log_ratio, old, gain, clip=context.clip).sum()
        return -jax.grad(loss)(_log_ratio(batch, context))

    return weights


leave_one_out = less_own(baselines.leave_one_out)
batch_mean = less_own(baselines.batch_mean)


def _episode_sums(
    weights: Float[Array, "time episode"], batch: Batch, context: Context
) -> Float[Array, "episode parameter"]:
    """Scores times `weights`, summed over each episode."""
    states, actions, parameters = context.score.shape
    entry = jnp.asarray(batch.state) * actions + batch.action
    nothing = jnp.zeros((entry.shape[1], states * actions))
    # By state and action first: the scores are few and the steps many.
    sums = nothing.at[jnp.arange(entry.shape[1]), entry].add(jnp.where(batch.mask, weights, 0))
    return sums @ jnp.asarray(context.score).reshape(-1, parameters)


def _optimal(estimate: Callable) -> Weights:
    r"""$G_t$ less a constant estimated from $\langle X, g \rangle$ and $\|g\|^2$ of episodes."""

    def weights(batch, context):
        gains, power = to_go(batch, context), _column(context.powers)
        x = _episode_sums(power * gains, batch, context)
        g = _episode_sums(power * jnp.ones_like(gains), batch, context)
        constant = estimate(jnp.sum(x * g, axis=1), jnp.sum(g * g, axis=1))
        return gains - jnp.broadcast_to(constant, gains.shape)

    return weights


def _of_all(product: Float[Array, " episode"], square: Float[Array, " episode"]):
    total = jnp.sum(square)
    return jnp.where(total > 0, jnp.sum(product) / jnp.where(total > 0, total, 1), 0)


optimal_leave_one_out = _optimal(baselines.optimal)
optimal_same_batch = _optimal(_of_all)
