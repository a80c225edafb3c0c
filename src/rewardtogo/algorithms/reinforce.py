"""REINFORCE, the Monte Carlo policy gradient. Williams (1992)."""

import enum
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from .. import validate
from ..estimators import baselines
from ..estimators.normalise import RunningMoments, running_moments
from ..estimators.returns import reward_to_go
from ..losses.policy_gradient import score_function
from ..nn.policies import EntropicPolicy, Sampled
from ..optim.learner import Learner, descend, learner
from ..sources.episodes import EpisodeBatch
from ..types import Metrics, Scalar
from .protocol import AbstractAlgorithm


class Baseline(enum.Enum):
    """What is subtracted from each return; see `rewardtogo.estimators.baselines`."""

    NONE = "none"
    BATCH_MEAN = "batch-mean"
    LEAVE_ONE_OUT = "leave-one-out"
    PAST_MEAN = "past-mean"
    OPTIMAL = "optimal"


_OF_RETURNS: dict[Baseline, Callable] = {
    Baseline.NONE: baselines.zero,
    Baseline.BATCH_MEAN: baselines.batch_mean,
    Baseline.LEAVE_ONE_OUT: baselines.leave_one_out,
}


class REINFORCEState(eqx.Module):
    learner: Learner[EntropicPolicy]
    past: RunningMoments  # of the full returns of the batches before


class REINFORCE(AbstractAlgorithm[EntropicPolicy, REINFORCEState, EpisodeBatch]):
    r"""One gradient step on each batch of whole episodes:

    $$\nabla J \approx \frac1N \sum_{i=1}^N \sum_t \nabla \log \pi_\theta(a^i_t \mid s^i_t)
    \,\bigl(G^i_t - b^i_t\bigr), \qquad G_t = \sum_{k \ge t} \gamma^{k-t} r_k$$

    Williams (1992); Sutton and Barto (2018), section 13.3. Summed over the steps of an episode and
    averaged over episodes: a mean over steps would be a ratio, biased when lengths differ. Without
    `causality` every step is weighed by the return of its whole episode, $G_0$, which is unbiased
    for the gradient of the discounted return. With it, that takes `discount_scores`: step $t$ also
    carries $\gamma^t$; without, what the estimate follows is the usual practice.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 3e-3
    """Step size of Adam."""
    causality: bool = True
    """Weigh a step by the rewards that follow it only; otherwise by the whole episode's return."""
    baseline: Baseline = Baseline.LEAVE_ONE_OUT
    """Subtracted from each return; all are unbiased but batch-mean, which shrinks by 1 − 1/N."""
    discount_scores: bool = False
    """Multiply step t's score by γ^t; of no effect on the full return, which needs no factor."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: Scalar = 0.5
    """Global norm to which a gradient is scaled down."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)

    def init(self, models: EntropicPolicy) -> REINFORCEState:
        precision = jnp.result_type(*jax.tree.leaves(eqx.filter(models, eqx.is_inexact_array)))
        return REINFORCEState(learner(models, self.optimiser), running_moments((), precision))

    def behaviour(self, state: REINFORCEState) -> Sampled:
        return Sampled(state.learner.model)

    def policy(self, state: REINFORCEState) -> EntropicPolicy:
        return state.learner.model

    def update(
        self, state: REINFORCEState, batch: EpisodeBatch, *, key: PRNGKeyArray
    ) -> tuple[REINFORCEState, Metrics]:
        """Take one step on episodes with axes `(time, episode)`."""
        del key
        weight = self.weights(state, batch)
        fitted, metrics = descend(self.loss, state.learner, self.optimiser, batch, weight)
        full = to_go(batch, batch.transition.reward, discount=self.discount)[0]
        return REINFORCEState(fitted, state.past.update(full)), metrics

    def weights(self, state: REINFORCEState, batch: EpisodeBatch) -> Float[Array, "time episode"]:
        """What multiplies each score: the return less its baseline, 0 after an episode's end."""
        returns = to_go(batch, batch.transition.reward, discount=self.discount)
        if not self.causality:
            returns = jnp.broadcast_to(returns[:1], returns.shape)
        returns = jnp.where(batch.mask, returns, 0)
        power = jnp.ones_like(returns)
        if self.discount_scores and self.causality:
            power = power * self.discount ** jnp.arange(len(returns))[:, None]
        weight = power * (returns - self._baseline(state, batch, returns, power))
        return jnp.where(batch.mask, weight, 0)

    def _baseline(
        self,
        state: REINFORCEState,
        batch: EpisodeBatch,
        returns: Float[Array, "time episode"],
        power: Float[Array, "time episode"],
    ) -> Float[Array, "time episode"]:
        match self.baseline:
            case Baseline.PAST_MEAN:
                constant = state.past.mean.astype(returns.dtype)
            case Baseline.OPTIMAL:
                constant = baselines.optimal_constant(*_products(state, batch, returns, power))
            case kind:
                return _OF_RETURNS[kind](returns, batch.mask)
        return jnp.broadcast_to(constant, returns.shape[-1:])[None] + jnp.zeros_like(returns)

    def loss(
        self, policy: EntropicPolicy, batch: EpisodeBatch, weight: Float[Array, "time episode"]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Its gradient is the estimate, negated; summed over time, averaged over episodes."""
        step = batch.transition
        distribution, _ = policy(step.observation, policy.initial_memory())
        log_prob, entropy = distribution.log_prob(step.action), distribution.entropy()
        policy_loss = per_episode(score_function(log_prob, weight), batch.mask)
        entropy_mean = jnp.sum(jnp.where(batch.mask, entropy, 0)) / jnp.sum(batch.mask)
        loss = policy_loss - self.entropy_coef * per_episode(entropy, batch.mask)
        return loss, {
            "train/loss": loss,
            "train/policy_gradient_loss": policy_loss,
            "train/entropy_loss": -entropy_mean,
        }

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.learning_rate)
        )


def _products(
    state: REINFORCEState,
    batch: EpisodeBatch,
    returns: Float[Array, "time episode"],
    power: Float[Array, "time episode"],
) -> tuple[Float[Array, " episode"], Float[Array, " episode"]]:
    """⟨X, g⟩ and ‖g‖² of each episode, X its estimate without a baseline and g its score."""
    step = batch.transition

    def one(observation, action, mask, returns, power):
        def log_prob(params):
            policy = eqx.combine(params, state.learner.frozen)
            distribution, _ = policy(observation, policy.initial_memory())
            return jnp.where(mask, distribution.log_prob(action), 0)

        _, pull_back = jax.vjp(log_prob, state.learner.params)
        (estimate,), (score,) = pull_back(power * returns), pull_back(power)
        return _inner(estimate, score), _inner(score, score)

    columns = (step.observation, step.action, batch.mask, returns, power)
    return jax.vmap(one, in_axes=1)(*columns)


def _inner(x: PyTree, y: PyTree) -> Float[Array, ""]:
    return jnp.asarray(optax.tree.vdot(x, y))


def to_go(
    batch: EpisodeBatch, reward: Float[Array, "time episode"], *, discount: Scalar
) -> Float[Array, "time episode"]:
    """Returns to go of what `reward` each step earned; the limit on time is the horizon."""
    step = batch.transition
    reward = jnp.where(batch.mask, reward, 0)
    none = jnp.zeros_like(reward)
    return reward_to_go(reward, step.terminated, step.truncated, none, discount=discount)


def per_episode(
    x: Float[Array, "time episode"], mask: Bool[Array, "time episode"]
) -> Float[Array, ""]:
    """Summed over the steps taken, averaged over episodes."""
    return jnp.sum(jnp.where(mask, x, 0)) / mask.shape[1]
