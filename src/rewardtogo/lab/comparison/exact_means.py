r"""Exact means of estimators, never sampled: $E[w_t;\, s_t = s, a_t = a]$, `[time, state, action]`.

The mean of $\sum_t w_t \nabla\log\pi(a_t \mid s_t)$ is such a *mass* summed against the scores.
Probabilities of $(s, a)$ are those of the policy that is sampled; terminal states have none.
"""

from collections.abc import Callable

import jax
import jax.lax as lax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...losses.policy_gradient import clipped_surrogate
from ...types import AnyArray
from .context import Context
from .weights import Choose, Values, off, on


Table = Float[Array, "horizon states actions"]
Mass = Callable[[Context], Table]


def mean(mass: Table, context: Context) -> Float[Array, " parameters"]:
    r"""$\sum_{t,s,a} m_t(s,a) \nabla\log\pi(a \mid s)$."""
    return jnp.einsum("tsa,sap->p", mass, context.score)


def joint(table: Mass, *, choose: Choose = on, powers: bool = True) -> Mass:
    r"""$\gamma^t d_t(s) \pi(a \mid s)$ times $E[w_t \mid s_t, a_t]$, no γ^t if not `powers`."""

    def mass(context):
        process = choose(context)
        reached = process.visits[:, :, None] * jnp.asarray(process.probability)[None]
        reached = reached * context.powers[:, None, None] if powers else reached
        return reached * table(context)

    return mass


def q(choose: Choose = on) -> Mass:
    """$Q_t$."""
    return lambda context: jnp.asarray(choose(context).q)


def advantage(choose: Choose = on) -> Mass:
    """$Q_t - V_t$."""
    return lambda context: choose(context).q - choose(context).v[:-1, :, None]


def less(baseline: Callable[[Context], Float[AnyArray, "horizon states"]]) -> Mass:
    """$Q_t - b_t$."""
    return lambda context: context.target.q - baseline(context)[:, :, None]


def start_value(context: Context) -> Float[Array, "horizon states"]:
    """$J = E[G_0]$, everywhere."""
    return jnp.full_like(context.target.visits, expected_returns(context)[0, 0])


def expected_returns(context: Context) -> Float[Array, "horizon states"]:
    """$E[G_t]$, whatever the state; a finished episode counts as 0."""
    by_time = jnp.einsum("ts,ts->t", context.target.visits, context.target.v[:-1])
    return by_time[:, None] * jnp.ones_like(context.target.visits)


def of_batch_mean(context: Context) -> Table:
    r"""$(1 - 1/N)(Q_t - E[G_t])$: of N returns in the mean, one is the judged one's own."""
    return (1 - 1 / context.batch) * less(expected_returns)(context)


def full_return(context: Context) -> Table:
    """The past's rewards, carried along, and γ^t Q_t."""
    process, mdp = context.target, context.mdp
    policy, p = jnp.asarray(process.probability), jnp.asarray(mdp.transition)
    reward = (
        jnp.asarray(mdp.reward)[:, :, None]
        if mdp.successor_reward is None
        else (jnp.asarray(mdp.successor_reward))
    )

    def forward(past, now):
        power, visits = now
        moved = (past[:, None] * policy)[..., None] * p
        moved = moved + power * (visits[:, None] * policy)[..., None] * p * reward
        return moved.sum((0, 1)), past

    start = jnp.zeros(mdp.num_states, jnp.float64)
    _, past = lax.scan(forward, start, (context.powers, process.visits))
    past = jnp.where(mdp.terminal[None], 0, past)
    return past[:, :, None] * policy[None] + joint(q())(context)


def _ahead(table: Table, context: Context) -> Table:
    """The mean of a table one step later, under the target policy; 0 after the horizon."""
    policy = jnp.asarray(context.target.probability)
    later = jnp.einsum("sa,tsa->ts", policy, table[1:])
    return _successors(jnp.pad(later, ((0, 1), (0, 0))), context)


def _successors(values: Float[Array, "horizon states"], context: Context) -> Table:
    return context.mdp.discount * jnp.einsum("sau,tu->tsa", context.mdp.transition, values)


def td_error(values: Values) -> Mass:
    """$r + γ E V(s_{t+1}) - V(s_t)$."""

    def table(context):
        v = jnp.asarray(values(context.target))
        return context.mdp.reward[None] + _successors(v[1:], context) - v[:-1, :, None]

    return table


def gae(values: Values) -> Mass:
    """TD errors summed with (γλ)^l, backwards."""

    def table(context):
        errors = td_error(values)(context)
        policy, p = context.target.probability, jnp.asarray(context.mdp.transition)
        decay = context.mdp.discount * context.trace_decay

        def backward(later, error):
            here = error + decay * p @ jnp.sum(policy * later, axis=1)
            return here, here

        return lax.scan(backward, jnp.zeros_like(errors[0]), errors, reverse=True)[1]

    return table


def vtrace(values: Values) -> Mass:
    """The same of clipped ratios: what follows is the behaviour policy's."""

    def table(context):
        ratio = jnp.minimum(1, context.ratio)
        errors = td_error(values)(context)
        beta, p = context.behaviour.probability, jnp.asarray(context.mdp.transition)

        def backward(later, error):  # `later`: E_β of what the next state's target adds to V
            here = ratio * (error + context.mdp.discount * p @ later)
            return jnp.sum(beta * here, axis=1), here

        return lax.scan(backward, jnp.zeros_like(errors[0, :, 0]), errors, reverse=True)[1]

    return table


def lambda_return(context: Context) -> Table:
    """Generalised advantages, and the values back again."""
    values = jnp.asarray(context.target.learned)
    return gae(lambda process: process.learned)(context) + values[:-1, :, None]


def n_step(context: Context) -> Table:
    """n rewards, then the learned values."""
    values, reward = jnp.asarray(context.target.learned), jnp.asarray(context.mdp.reward)[None]
    gains = reward + _successors(values[1:], context)
    longer = lambda _, gains: reward + _ahead(gains, context)
    return lax.fori_loop(1, context.n, longer, gains) - values[:-1, :, None]


def weighed(factor: Callable[[Context], Float[Array, "states actions"]], table: Mass) -> Mass:
    """A table times what depends on the state and the action only."""
    return lambda context: factor(context)[None] * table(context)


def clipped(context: Context) -> Table:
    """The clipped surrogate's factor on the exact advantage of β."""
    gain = advantage(off)(context)
    ratio = jnp.broadcast_to(jnp.log(context.ratio), gain.shape)
    old = jnp.zeros_like(gain)
    loss = lambda log_ratio: clipped_surrogate(log_ratio, old, gain, clip=context.clip).sum()
    return -jax.grad(loss)(ratio)
