"""REINFORCE, the Monte Carlo policy gradient. Williams (1992)."""

import enum

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .. import validate
from ..estimators import baselines
from ..estimators.returns import reward_to_go
from ..losses.policy_gradient import score_function
from ..nn.policies import EntropicPolicy, SamplingBehaviour
from ..optim.diagnostics import gradient_signal_to_noise
from ..optim.trainable import Trainable, apply_gradient, gradient, trainable
from ..types import EpisodeBatch, Metrics, Scalar
from .protocol import AbstractAlgorithm
from .reinforce_baselines import (
    AbstractBaseline,
    EpisodeOutcome,
    LearnedValue,
    Memoryless,
    PastMean,
    PastReturns,
    WithBaseline,
    of_returns,
    optimal_by_parameter,
    optimal_by_time,
    optimal_constant,
)


class Baseline(enum.Enum):
    """What is subtracted from each return; see `rewardtogo.algorithms.reinforce_baselines`."""

    NONE = "none"
    BATCH_MEAN = "batch-mean"
    LEAVE_ONE_OUT = "leave-one-out"
    PAST_MEAN = "past-mean"
    PAST_MEAN_BY_TIME = "past-mean-by-time"
    LEARNED = "learned"
    OPTIMAL = "optimal"
    OPTIMAL_BY_TIME = "optimal-by-time"
    OPTIMAL_BY_PARAMETER = "optimal-by-parameter"


OF_OTHERS = frozenset(
    {
        Baseline.LEAVE_ONE_OUT,
        Baseline.OPTIMAL,
        Baseline.OPTIMAL_BY_TIME,
        Baseline.OPTIMAL_BY_PARAMETER,
    }
)
"""Those that a batch of one episode does not have."""

_WITHOUT_OPTIONS: dict[Baseline, AbstractBaseline] = {
    Baseline.NONE: of_returns(baselines.zero),
    Baseline.BATCH_MEAN: of_returns(baselines.batch_mean),
    Baseline.LEAVE_ONE_OUT: of_returns(baselines.leave_one_out),
    Baseline.PAST_MEAN: PastMean(by_time=False),
    Baseline.PAST_MEAN_BY_TIME: PastMean(by_time=True),
    Baseline.OPTIMAL: Memoryless(optimal_constant),
    Baseline.OPTIMAL_BY_TIME: Memoryless(optimal_by_time),
    Baseline.OPTIMAL_BY_PARAMETER: Memoryless(optimal_by_parameter),
}


class REINFORCEState(eqx.Module):
    """`baseline`: what it remembers; `()` for most."""

    trainable: Trainable[EntropicPolicy]
    baseline: tuple[()] | PastReturns | Trainable


class REINFORCE(AbstractAlgorithm[EntropicPolicy | WithBaseline, REINFORCEState, EpisodeBatch]):
    r"""One gradient step on each batch of whole episodes:

    $$\nabla J \approx \frac1N \sum_{i=1}^N \sum_t \nabla \log \pi_\theta(a^i_t \mid s^i_t)
    \,\bigl(G^i_t - b^i_t\bigr), \qquad G_t = \sum_{k \ge t} \gamma^{k-t} r_k$$

    Williams (1992); Sutton and Barto (2018), section 13.3. Summed over the steps of an episode and
    averaged over episodes: a mean over steps would be a ratio, biased when lengths differ. Without
    `causality` every step is weighed by the return of its whole episode, $G_0$, which is unbiased
    for the gradient of the discounted return. With it, that takes `discount_scores`: step $t$ also
    carries $\gamma^t$; without, what the estimate follows is the usual practice. The baseline of
    least variance for each parameter is no weight: it is subtracted from the gradient.
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
    critic_learning_rate: Scalar = 1e-2
    """Step size of Adam for the learned baseline."""
    critic_updates: int = 10
    """Gradient steps of the learned baseline on each batch, after the policy's."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)
        validate.positive("critic_learning_rate", self.critic_learning_rate)
        validate.count("critic_updates", self.critic_updates)

    def init(self, models: EntropicPolicy | WithBaseline) -> REINFORCEState:
        """`WithBaseline` for `past-mean-by-time` and `learned`, else the policy alone.

        **Raises:** `ValueError` if the models are not what the baseline needs.
        """
        if isinstance(models, WithBaseline):
            actor, given = models.actor, models.baseline
        else:
            actor, given = models, None
        precision = jnp.result_type(*jax.tree.leaves(eqx.filter(actor, eqx.is_inexact_array)))
        return REINFORCEState(trainable(actor, self.optimiser), self.rule.init(given, precision))

    def behaviour(self, state: REINFORCEState) -> SamplingBehaviour:
        return SamplingBehaviour(state.trainable.model)

    def policy(self, state: REINFORCEState) -> EntropicPolicy:
        return state.trainable.model

    def update(
        self, state: REINFORCEState, batch: EpisodeBatch, *, key: PRNGKeyArray
    ) -> tuple[REINFORCEState, Metrics]:
        """Take one step on episodes with axes `(time, episode)`."""
        del key
        grads, metrics = self.gradient(state, batch)
        fitted = apply_gradient(state.trainable, self.optimiser, grads)
        # Only now: a baseline that had seen this batch would judge an action by its own return.
        baseline = self.rule.learn(state.baseline, self.outcome(batch))
        ratio = gradient_signal_to_noise(fitted.opt_state)
        return REINFORCEState(fitted, baseline), metrics | {"train/gradient_snr": ratio}

    def gradient(
        self, state: REINFORCEState, batch: EpisodeBatch
    ) -> tuple[EntropicPolicy, dict[str, Float[Array, ""]]]:
        """The estimate, negated, less that of the entropy bonus; of the parameters that learn."""
        outcome = self.outcome(batch)
        judged = self.rule.judge(state.baseline, state.trainable, outcome)
        weight = outcome.less(judged.by_step)
        grads, metrics = gradient(self.loss, state.trainable, batch, weight)
        if judged.shift is not None:
            grads = jax.tree.map(jnp.add, grads, judged.shift)
        before = jnp.var(outcome.returns, where=batch.mask)
        left = jnp.var(outcome.returns - judged.by_step, where=batch.mask)
        explained = 1 - left / (before + 1e-8)
        return grads, metrics | {"train/explained_variance": explained}

    def weights(self, state: REINFORCEState, batch: EpisodeBatch) -> Float[Array, "time episode"]:
        """What multiplies each score: the return less its baseline, 0 after an episode's end."""
        outcome = self.outcome(batch)
        return outcome.less(self.rule.judge(state.baseline, state.trainable, outcome).by_step)

    def outcome(self, batch: EpisodeBatch) -> EpisodeOutcome:
        """The return to go of every step, or the full return at each; and the powers of γ."""
        returns = to_go(batch, batch.transition.reward, discount=self.discount)
        power = jnp.ones_like(returns)
        if not self.causality:
            returns = jnp.broadcast_to(returns[:1], returns.shape)
        elif self.discount_scores:
            power = power * self.discount ** jnp.arange(len(returns))[:, None]
        return EpisodeOutcome(batch, returns, power)

    def loss(
        self, policy: EntropicPolicy, batch: EpisodeBatch, weight: Float[Array, "time episode"]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Its gradient is the estimate, negated; summed over time, averaged over episodes."""
        step = batch.transition
        distribution, _ = policy(step.observation, policy.initial_carry())
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
    def rule(self) -> AbstractBaseline:
        """The baseline that is chosen."""
        if self.baseline is Baseline.LEARNED:
            return LearnedValue(self._steps(self.critic_learning_rate), self.critic_updates)
        return _WITHOUT_OPTIONS[self.baseline]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Of the policy."""
        return self._steps(self.learning_rate)

    def _steps(self, learning_rate: Scalar) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(learning_rate))


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
