"""What REINFORCE subtracts from each return, and what that must remember between batches."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.lax as lax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from .._scan import filter_scan
from ..estimators import baselines
from ..losses.value import squared_error
from ..nn.policies import EntropicPolicy
from ..nn.values import StateValue
from ..optim.trainable import Trainable, descend, trainable
from ..types import EpisodeBatch


class EpisodeOutcome(eqx.Module):
    """Episodes, and what each of their scores is multiplied with.

    `returns`: $G_t$, 0 after an episode's end, for that is what it still earns; or $G_0$ at every
    step. `power`: γ^t where scores are discounted, else 1.
    """

    batch: EpisodeBatch
    returns: Float[Array, "time episode"]
    power: Float[Array, "time episode"]

    def less(self, baseline: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
        """What is left to weigh the scores with: nothing after an episode's end."""
        return jnp.where(self.batch.mask, self.power * (self.returns - baseline), 0)


class Judgement(NamedTuple):
    """`by_step`: what is subtracted from each return, weighing the scores of all parameters alike.

    `shift`: what a baseline that differs by parameter adds to the loss's gradient; None for the
    others.
    """

    by_step: Float[Array, "time episode"]
    shift: PyTree | None = None


class PastReturns(eqx.Module):
    """The mean return of all episodes before, `[]` from the start or `[time]` from each step."""

    mean: Float[Array, "*time"]
    count: Float[Array, ""]

    def update(self, returns: Float[Array, "*time episode"]) -> "PastReturns":
        """Take in the returns of a batch, every episode of the same weight."""
        count = self.count + returns.shape[-1]
        apart = returns.astype(self.mean.dtype) - self.mean[..., None]
        return PastReturns(self.mean + apart.sum(axis=-1) / count, count)


def past_returns(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> PastReturns:
    """Before any data: 0, of no weight. `shape` is `()` or `(max_episode_steps,)`."""
    return PastReturns(jnp.zeros(shape, dtype), jnp.zeros((), dtype))


class WithBaseline(eqx.Module):
    """A policy, and what its baseline is before any data: a critic, or a table over time."""

    actor: EntropicPolicy
    baseline: StateValue | PastReturns


class AbstractBaseline[M](eqx.Module):
    """One way to judge returns; `M` is what it remembers between batches, `()` if nothing.

    `judge` must not use what `learn` would take from the same batch.
    """

    @abc.abstractmethod
    def init(self, given: StateValue | PastReturns | None, dtype: DTypeLike) -> M:
        """What is remembered at first; `given` comes with the models.

        **Raises:** `ValueError` if that is not what this baseline needs.
        """

    @abc.abstractmethod
    def judge(
        self, state: M, policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome
    ) -> Judgement:
        """The baseline of every step of a batch."""

    @abc.abstractmethod
    def learn(self, state: M, outcome: EpisodeOutcome) -> M:
        """Take in a batch, once the policy's step on it is done."""


def _require(given: Any, kind: type, needed: str) -> Any:
    if not isinstance(given, kind):
        has = "no baseline" if given is None else f"a {type(given).__name__}"
        raise ValueError(f"this `baseline` is given {needed}; the models have {has}.")
    return given


class Memoryless(AbstractBaseline[tuple[()]]):
    """A function of the batch and the policy alone."""

    function: Callable[[Trainable[EntropicPolicy], EpisodeOutcome], Judgement]

    def init(self, given: StateValue | PastReturns | None, dtype: DTypeLike) -> tuple[()]:
        del dtype
        _require(given, type(None), "the policy alone, nothing beside it")
        return ()

    def judge(
        self, state: tuple[()], policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome
    ) -> Judgement:
        del state
        return self.function(policy, outcome)

    def learn(self, state: tuple[()], outcome: EpisodeOutcome) -> tuple[()]:
        del outcome
        return state


class PastMean(AbstractBaseline[PastReturns]):
    """The mean of the full returns of the batches before; or of the returns from each step."""

    by_time: bool

    def init(self, given: StateValue | PastReturns | None, dtype: DTypeLike) -> PastReturns:
        if self.by_time:
            return _require(given, PastReturns, "`WithBaseline(policy, past_returns((steps,)))`")
        _require(given, type(None), "the policy alone, nothing beside it")
        return past_returns((), dtype)

    def judge(
        self, state: PastReturns, policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome
    ) -> Judgement:
        del policy
        mean = state.mean.astype(outcome.returns.dtype).reshape(-1, 1)
        return Judgement(jnp.broadcast_to(mean, outcome.returns.shape))

    def learn(self, state: PastReturns, outcome: EpisodeOutcome) -> PastReturns:
        return state.update(outcome.returns if self.by_time else outcome.returns[0])


class LearnedValue(AbstractBaseline[Trainable[StateValue]]):
    """V_φ(s), fitted to the returns of the batches before."""

    optimiser: optax.GradientTransformation
    updates: int  # gradient steps on each batch

    def init(
        self, given: StateValue | PastReturns | None, dtype: DTypeLike
    ) -> Trainable[StateValue]:
        del dtype
        needed = "`WithBaseline(policy, critic)`, the critic a `StateValue`"
        return trainable(_require(given, StateValue, needed), self.optimiser)

    def judge(
        self,
        state: Trainable[StateValue],
        policy: Trainable[EntropicPolicy],
        outcome: EpisodeOutcome,
    ) -> Judgement:
        del policy
        return Judgement(state.model(outcome.batch.transition.observation))

    def learn(self, state: Trainable[StateValue], outcome: EpisodeOutcome) -> Trainable[StateValue]:
        mask = outcome.batch.mask

        def loss(critic: StateValue) -> tuple[Float[Array, ""], None]:
            value = critic(outcome.batch.transition.observation)
            error = jnp.where(mask, squared_error(value, outcome.returns), 0)
            return jnp.sum(error) / jnp.sum(mask), None

        step = lambda critic, _: descend(loss, critic, self.optimiser)
        return filter_scan(step, state, jnp.arange(self.updates))[0]


def of_returns(function: Callable) -> Memoryless:
    """A function `(returns, mask) → baseline` of `estimators.baselines`."""

    def judge(policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome) -> Judgement:
        del policy
        # Nothing is masked: a finished episode's return is 0, and its full return is what it was.
        return Judgement(function(outcome.returns, jnp.ones_like(outcome.batch.mask)))

    return Memoryless(judge)


def optimal_constant(policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome) -> Judgement:
    """The constant of least variance: a backward pass an episode for X and one for g."""

    def products(episode: EpisodeOutcome) -> tuple[Float[Array, ""], Float[Array, ""]]:
        estimate, score = _sums(policy, episode)
        return _inner(estimate, score), _inner(score, score)

    constant = baselines.optimal(*jax.vmap(products, in_axes=1)(outcome))
    return Judgement(jnp.broadcast_to(constant, outcome.returns.shape))


def optimal_by_time(policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome) -> Judgement:
    r"""The number of least variance for each step.

    $\langle g_t, X \rangle$ of all steps is one forward derivative along $X$; $\lVert g_t \rVert^2$
    takes the gradient of every step by itself, `[time, parameter]` of them for one episode after
    another.
    """

    def products(episode: EpisodeOutcome) -> tuple[Float[Array, " time"], Float[Array, " time"]]:
        estimate, _ = _sums(policy, episode)
        log_probs = lambda params: _log_probs(params, policy, episode)
        _, along = jax.jvp(log_probs, (policy.params,), (estimate,))

        def square(step: EpisodeOutcome) -> Float[Array, ""]:
            score = jax.grad(_log_probs)(policy.params, policy, step)
            return _inner(score, score)

        return episode.power * along, episode.power**2 * jax.vmap(square)(episode)

    columns = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), outcome)
    product, squares = lax.map(products, columns)
    return Judgement(baselines.optimal(product.T, squares.T))


def optimal_by_parameter(policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome) -> Judgement:
    r"""The number of least variance for each parameter: no weight of a score, but a shift.

    The estimate is $\frac1N \sum_i (X^i_j - b^i_j g^i_j)$. `[episode, parameter]` numbers are kept.
    """
    estimates, scores = jax.vmap(lambda episode: _sums(policy, episode), in_axes=1)(outcome)

    def shift(estimate: Float[Array, "episode *any"], score: Float[Array, "episode *any"]):
        last = lambda x: jnp.moveaxis(x, 0, -1)
        baseline = baselines.optimal(last(estimate * score), last(score**2))
        return jnp.mean(baseline * last(score), axis=-1)

    none = jnp.zeros_like(outcome.returns)
    return Judgement(none, jax.tree.map(shift, estimates, scores))


def _sums(policy: Trainable[EntropicPolicy], episode: EpisodeOutcome) -> tuple[PyTree, PyTree]:
    r"""$X = \sum_t g_t G_t$ and $g = \sum_t g_t$ of an episode; γ^t is in $g_t$ if asked for."""
    log_probs = lambda params: _log_probs(params, policy, episode)
    _, pull_back = jax.vjp(log_probs, policy.params)
    (estimate,), (score,) = pull_back(episode.power * episode.returns), pull_back(episode.power)
    return estimate, score


def _log_probs(
    params: EntropicPolicy, policy: Trainable[EntropicPolicy], outcome: EpisodeOutcome
) -> Float[Array, "*steps"]:
    """log π(a | s) of steps with any leading axes; 0 after the end."""
    model, step = eqx.combine(params, policy.frozen), outcome.batch.transition
    distribution, _ = model(step.observation, model.initial_carry())
    return jnp.where(outcome.batch.mask, distribution.log_prob(step.action), 0)


def _inner(x: PyTree, y: PyTree) -> Float[Array, ""]:
    return jnp.asarray(optax.tree.vdot(x, y))
