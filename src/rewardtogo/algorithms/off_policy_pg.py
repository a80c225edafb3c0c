"""Several policy-gradient steps on one batch of episodes, corrected by importance weights."""

import enum

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from .._scan import filter_scan
from ..estimators import baselines, importance
from ..losses.policy_gradient import score_function
from ..nn.distributions import AbstractEntropicDistribution
from ..nn.policies import EntropicPolicy, LogProbBehaviour
from ..optim.diagnostics import gradient_signal_to_noise
from ..optim.trainable import Trainable, descend, stepped_if, trainable
from ..types import EpisodeBatch, Metrics, Scalar
from .protocol import AbstractAlgorithm
from .reinforce import per_episode, to_go


class ImportanceWeights(enum.Enum):
    """What corrects old episodes for the policy as it is now; see `estimators.importance`."""

    TRAJECTORY = "trajectory"
    PER_DECISION = "per-decision"
    PER_STEP = "per-step"
    SELF_NORMALISED = "self-normalised"
    CLIPPED = "clipped"
    ONE = "one"


class OffPolicyPGState(eqx.Module):
    trainable: Trainable[EntropicPolicy]


class OffPolicyPG(AbstractAlgorithm[EntropicPolicy, OffPolicyPGState, EpisodeBatch]):
    r"""Up to `num_epochs` gradient steps on each batch of whole episodes of $\pi_{\text{old}}$:

    $$\frac1N \sum_{i=1}^N \sum_t c^i_t\, \nabla \log \pi_\theta(a^i_t \mid s^i_t)
    \,\bigl(G^i_t - b^i_t\bigr)$$

    with corrections $c_t$ made of the ratios
    $\rho_t = \pi_\theta(a_t \mid s_t) / \pi_{\text{old}}(a_t \mid s_t)$; per decision they weigh
    each reward instead, $\sum_{k \ge t} \gamma^{k-t} \rho_{0:k} r_k - \rho_{0:t} b_t$. Precup,
    Sutton and Singh (2000); Degris, White and Sutton (2012). With `discount_scores`, trajectory
    and per-decision weights are unbiased for $\nabla J(\theta)$, per-step ones for the gradient
    of the surrogate $L_{\text{old}}(\pi_\theta)$ of Schulman et al. (2015), eq. 3, others for
    neither. No step follows once the mean of $D_{KL}(\pi_{\text{old}} \| \pi_\theta)$ over the
    batch's states exceeds `max_kl`.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 3e-3
    """Step size of Adam."""
    weights: ImportanceWeights = ImportanceWeights.PER_STEP
    """What corrects the old episodes for the policy as it is now."""
    clip: Scalar = 0.2
    """ε of clipped weights, how far from 1 they may be."""
    num_epochs: int = 10
    """Gradient steps on each batch."""
    max_kl: Scalar | None = 0.02
    """No further step once KL(old ‖ new), in nats, is above this; None sets no limit."""
    baseline: bool = True
    """Subtract the mean return of the other episodes; not free with weights clipped, 1, or
    self-normalised."""
    discount_scores: bool = False
    """Multiply step t's score by γ^t, as the gradient of the discounted return has it."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: Scalar = 0.5
    """Global norm to which a gradient is scaled down."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("clip", self.clip, 0.0, 1.0, open_low=True)
        validate.count("num_epochs", self.num_epochs)
        if self.max_kl is not None:
            validate.positive("max_kl", self.max_kl)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)

    def init(self, models: EntropicPolicy) -> OffPolicyPGState:
        return OffPolicyPGState(trainable(models, self.optimiser))

    def behaviour(self, state: OffPolicyPGState) -> LogProbBehaviour:
        return LogProbBehaviour(state.trainable.model)

    def policy(self, state: OffPolicyPGState) -> EntropicPolicy:
        return state.trainable.model

    def update(
        self, state: OffPolicyPGState, batch: EpisodeBatch, *, key: PRNGKeyArray
    ) -> tuple[OffPolicyPGState, Metrics]:
        """Take the steps on episodes with axes `(time, episode)`; records are log-probabilities."""
        del key
        before = state.trainable.model
        old, _ = before(batch.transition.observation, before.initial_carry())
        limit = jnp.inf if self.max_kl is None else self.max_kl

        def step(trainable, _):
            after, metrics = descend(self.loss, trainable, self.optimiser, batch, old)
            going = metrics["train/kl"] <= limit
            return stepped_if(going, after, trainable), going

        fitted, taken = filter_scan(step, state.trainable, jnp.arange(self.num_epochs))
        _, metrics = self.loss(fitted.model, batch, old)
        return OffPolicyPGState(fitted), metrics | {
            "train/steps_fraction": jnp.mean(taken),
            "train/gradient_snr": gradient_signal_to_noise(fitted.opt_state),
        }

    def loss(
        self, policy: EntropicPolicy, batch: EpisodeBatch, old: AbstractEntropicDistribution
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Its gradient is the estimate, negated; and what to report of a policy."""
        step = batch.transition
        distribution, _ = policy(step.observation, policy.initial_carry())
        log_prob, entropy = distribution.log_prob(step.action), distribution.entropy()
        log_ratio = jnp.where(batch.mask, log_prob - step.record, 0)
        weight = self.score_weights(log_ratio, batch)
        policy_loss = per_episode(score_function(log_prob, weight), batch.mask)
        loss = policy_loss - self.entropy_coef * per_episode(entropy, batch.mask)
        over_steps = lambda x: jnp.sum(jnp.where(batch.mask, x, 0)) / jnp.sum(batch.mask)
        return loss, {
            "train/loss": loss,
            "train/policy_gradient_loss": policy_loss,
            "train/entropy_loss": -over_steps(entropy),
            "train/kl": over_steps(old.kl_divergence(distribution)),
            "train/effective_sample_share": importance.effective_sample_share(log_ratio),
        }

    def score_weights(
        self, log_ratio: Float[Array, "time episode"], batch: EpisodeBatch
    ) -> Float[Array, "time episode"]:
        """What multiplies each score: a corrected return less its baseline."""
        reward = batch.transition.reward
        returns = to_go(batch, reward, discount=self.discount)
        correction = self._correction(log_ratio)
        corrected = correction * returns
        if self.weights is ImportanceWeights.PER_DECISION:
            corrected = to_go(batch, correction * reward, discount=self.discount)
        if self.baseline:
            corrected = corrected - correction * baselines.leave_one_out(returns, batch.mask)
        if self.discount_scores:
            corrected = corrected * self.discount ** jnp.arange(len(returns))[:, None]
        return jnp.where(batch.mask, corrected, 0)

    def _correction(self, log_ratio: Float[Array, "time episode"]) -> Float[Array, "time episode"]:
        match self.weights:
            case ImportanceWeights.TRAJECTORY:
                return importance.trajectory_ratio(log_ratio)
            case ImportanceWeights.PER_DECISION:
                return importance.prefix_ratio(log_ratio)
            case ImportanceWeights.PER_STEP:
                return importance.step_ratio(log_ratio)
            case ImportanceWeights.SELF_NORMALISED:
                return importance.self_normalised_ratio(log_ratio)
            case ImportanceWeights.CLIPPED:
                return importance.clipped_ratio(log_ratio, clip=self.clip)
            case ImportanceWeights.ONE:
                return jnp.ones_like(log_ratio)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.learning_rate)
        )
