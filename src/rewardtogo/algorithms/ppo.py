"""Proximal policy optimisation, clipped. Schulman et al. (2017); with GAE, (2016)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .. import validate
from .._scan import filter_scan
from ..estimators.normalise import standardise
from ..estimators.returns import generalised_advantage
from ..losses.policy_gradient import clipped_surrogate
from ..losses.value import clipped_value_error, squared_error
from ..minibatches import shuffled_rows
from ..nn.actor_critic import ActorCritic
from ..nn.policies import EntropicPolicy, SampledWithLogProb
from ..nn.values import StateValue
from ..optim.learner import Learner, descend, learner
from ..optim.schedule import annealed
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractAlgorithm


class PPOState(eqx.Module):
    learner: Learner[ActorCritic]


class Sample(eqx.Module):
    """What one gradient step sees of each step of the rollout."""

    observation: Any
    action: Shaped[Array, "..."]
    old_log_prob: Float[Array, "*batch"]
    old_value: Float[Array, "*batch"]
    advantage: Float[Array, "*batch"]
    value_target: Float[Array, "*batch"]


class PPO(AbstractAlgorithm[ActorCritic, PPOState, Transition]):
    r"""Several epochs of minibatch steps on each rollout, minimising

    $$-\min(\rho A, \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon) A) + c_v \tfrac12 (V - G^\lambda)^2
    - c_e H[\pi(\cdot \mid s)], \qquad \rho = \pi_\theta(a \mid s)/\pi_{\text{old}}(a \mid s)$$

    Schulman et al. (2017), eq. 9. $A$ is the generalised advantage estimate.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    trace_decay: Scalar = 0.95
    """λ of the generalised advantage estimate: 0 is one-step, 1 is Monte Carlo."""
    clip: Scalar = 0.2
    """ε, how far the probability ratio may move before its gain stops counting."""
    learning_rate: Scalar = 3e-4
    """Step size of Adam."""
    num_epochs: int = 4
    """Passes over each rollout."""
    num_minibatches: int = 4
    """Gradient steps in each pass; must divide the rollout's size."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus."""
    value_coef: Scalar = 0.5
    """Weight of the value error, ½(V − G)²."""
    max_grad_norm: Scalar = 0.5
    """Global norm to which a gradient is scaled down."""
    value_clip: Scalar | None = None
    """Keeps V within this of its old value in the value error; None leaves it free."""
    normalise_advantage: bool = True
    """Standardise the advantages within each minibatch."""
    anneal_updates: int = 0
    """Iterations over which the learning rate falls linearly to 0; 0 keeps it constant."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.unit_interval("trace_decay", self.trace_decay)
        validate.positive("clip", self.clip)
        validate.positive("learning_rate", self.learning_rate)
        validate.count("num_epochs", self.num_epochs)
        validate.count("num_minibatches", self.num_minibatches)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.non_negative("value_coef", self.value_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)
        if self.value_clip is not None:
            validate.positive("value_clip", self.value_clip)
        validate.count("anneal_updates", self.anneal_updates, least=0)

    def init(self, models: ActorCritic) -> PPOState:
        return PPOState(learner(models, self.optimiser))

    def behaviour(self, state: PPOState) -> SampledWithLogProb:
        return SampledWithLogProb(state.learner.model.actor)

    def policy(self, state: PPOState) -> EntropicPolicy:
        return state.learner.model.actor

    def update(
        self, state: PPOState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[PPOState, Metrics]:
        """Fit actor and critic to one rollout with leading axes `(time, env)`."""
        samples = self.score(state.learner.model.critic, batch)
        size = batch.reward.size
        flat = jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), samples)
        rows = shuffled_rows(
            key, size=size, num_epochs=self.num_epochs, num_minibatches=self.num_minibatches
        )

        def step(learner, rows):
            return descend(
                self.loss, learner, self.optimiser, jax.tree.map(lambda x: x[rows], flat)
            )

        fitted, metrics = filter_scan(step, state.learner, rows)
        metrics = jax.tree.map(jnp.mean, metrics)
        explained = explained_variance(samples.old_value, samples.value_target)
        return PPOState(fitted), metrics | {"train/explained_variance": explained}

    def score(self, critic: StateValue, rollout: Transition) -> Sample:
        """Advantages and value targets under the critic as it was when the rollout was gathered."""
        value, next_value = critic(rollout.observation), critic(rollout.next_observation)
        advantage = generalised_advantage(
            rollout.reward,
            value,
            next_value,
            rollout.terminated,
            rollout.truncated,
            discount=self.discount,
            trace_decay=self.trace_decay,
        )
        return Sample(
            rollout.observation,
            rollout.action,
            rollout.record,
            value,
            advantage,
            value + advantage,
        )

    def loss(
        self, model: ActorCritic, batch: Sample
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The objective over one minibatch, and what to report of it."""
        distribution, _ = model.actor(batch.observation, model.actor.initial_memory())
        log_prob = distribution.log_prob(batch.action)
        advantage = standardise(batch.advantage) if self.normalise_advantage else batch.advantage
        policy_loss = clipped_surrogate(
            log_prob, batch.old_log_prob, advantage, clip=self.clip
        ).mean()
        value_loss = self._value_error(model.critic(batch.observation), batch).mean()
        entropy = distribution.entropy().mean()
        loss = policy_loss + self.value_coef * value_loss - self.entropy_coef * entropy
        log_ratio = log_prob - batch.old_log_prob
        return loss, {
            "train/loss": loss,
            "train/policy_gradient_loss": policy_loss,
            "train/value_loss": value_loss,
            "train/entropy_loss": -entropy,
            # Schulman's third estimator of KL(old || new): unbiased and never negative.
            "train/approx_kl": jnp.mean(jnp.expm1(log_ratio) - log_ratio),
            "train/clip_fraction": jnp.mean(jnp.abs(jnp.expm1(log_ratio)) > self.clip),
        }

    def _value_error(self, value: Float[Array, "*batch"], batch: Sample) -> Float[Array, "*batch"]:
        if self.value_clip is None:
            return squared_error(value, batch.value_target)
        return clipped_value_error(value, batch.old_value, batch.value_target, clip=self.value_clip)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        steps = self.anneal_updates * self.num_epochs * self.num_minibatches
        rate = annealed(self.learning_rate, steps)
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm), optax.adam(rate, eps=1e-5)
        )


def explained_variance(
    value: Float[Array, "*batch"], target: Float[Array, "*batch"]
) -> Float[Array, ""]:
    """1 − Var[G − V] / Var[G]: 1 is a perfect critic, 0 one no better than a constant."""
    return 1 - jnp.var(target - value) / (jnp.var(target) + 1e-8)
