"""Proximal policy optimisation. Schulman et al. (2017); with GAE, (2016)."""

import dataclasses
import enum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from .. import validate
from .._scan import filter_scan
from ..estimators.diagnostics import explained_variance
from ..estimators.importance import effective_sample_share
from ..estimators.normalise import standardise
from ..estimators.returns import generalised_advantage
from ..losses.policy_gradient import clipped_surrogate, importance_weighted
from ..losses.value import clipped_value_error, squared_error
from ..nn.actor_critic import AbstractActorCritic, ActingRecord, Actor, CarryBehaviour
from ..nn.distributions import AbstractEntropicDistribution
from ..optim.diagnostics import gradient_signal_to_noise
from ..optim.schedule import annealed
from ..optim.trainable import Trainable, descend, stepped_if, trainable
from ..types import Metrics, Scalar, StartRecord, Transition
from .minibatches import shuffled_rows, shuffled_sequences
from .protocol import AbstractAlgorithm


class Objective(enum.Enum):
    """What keeps the policy near the one that gathered the rollout."""

    CLIP = "clip"
    KL_PENALTY = "kl-penalty"


class AdvantageScale(enum.Enum):
    """Over what the advantages are brought to mean 0 and deviation 1."""

    NONE = "none"
    BATCH = "batch"
    MINIBATCH = "minibatch"


class PPOState(eqx.Module):
    trainable: Trainable[AbstractActorCritic]
    kl_coef: Float[Array, ""]  # β; the clipped objective leaves it alone


class Sample(eqx.Module):
    """What one gradient step sees of each step of the rollout."""

    observation: Any
    action: Shaped[Array, "..."]
    boundary: Bool[Array, "*batch"]
    carry: Any  # before each step, or before the first alone: `[1, env, ...]`
    old: AbstractEntropicDistribution
    old_log_prob: Float[Array, "*batch"]
    old_value: Float[Array, "*batch"]
    advantage: Float[Array, "*batch"]
    value_target: Float[Array, "*batch"]


class PPO(AbstractAlgorithm[AbstractActorCritic, PPOState, Transition]):
    r"""Several epochs of minibatch steps on each rollout, minimising

    $$-\min(\rho A, \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon) A) + c_v \tfrac12 (V - G^\lambda)^2
    - c_e H[\pi(\cdot \mid s)], \qquad \rho = \pi_\theta(a \mid s)/\pi_{\text{old}}(a \mid s)$$

    Schulman et al. (2017), eq. 9. $A$ is the generalised advantage estimate. The KL penalty puts
    $-\rho A + \beta\, D_{KL}(\pi_{\text{old}} \| \pi_\theta)$ in place of the minimum, section 4.

    A minibatch holds single steps; where the model has a memory, it holds sequences of steps.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    trace_decay: Scalar = 0.95
    """λ of the generalised advantage estimate: 0 is one-step, 1 is Monte Carlo."""
    objective: Objective = Objective.CLIP
    """Clip the probability ratio, or add an adaptive penalty on the divergence."""
    clip: Scalar = 0.2
    """ε, how far the probability ratio may move before its gain stops counting."""
    kl_target: Scalar = 0.01
    """Divergence of an update, in nats, that the coefficient of the KL penalty aims at."""
    initial_kl_coef: Scalar = 1.0
    """β, the coefficient of the KL penalty, before the first update."""
    learning_rate: Scalar = 3e-4
    """Step size of Adam."""
    adam_epsilon: Scalar = 1e-5
    """Added to the root in the denominator of Adam."""
    num_epochs: int = 4
    """Passes over each rollout."""
    num_minibatches: int = 4
    """Gradient steps in each pass; must divide the rollout's size, or its number of sequences."""
    sequence_length: int | None = None
    """Steps of a sequence, of networks that remember; None is the whole rollout."""
    target_kl: Scalar | None = None
    """Takes no more steps on a rollout once a minibatch's divergence exceeds 1.5 times this."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus."""
    value_coef: Scalar = 0.5
    """Weight of the value error, ½(V − G)²."""
    max_grad_norm: Scalar = 0.5
    """Global norm to which a gradient is scaled down."""
    value_clip: Scalar | None = None
    """Keeps V within this of its old value in the value error; None leaves it free."""
    advantage_scale: AdvantageScale = AdvantageScale.MINIBATCH
    """Standardise the advantages of each minibatch, of each rollout, or not at all."""
    anneal_updates: int = 0
    """Iterations over which the learning rate falls linearly to 0; 0 keeps it constant."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.unit_interval("trace_decay", self.trace_decay)
        validate.positive("clip", self.clip)
        validate.positive("kl_target", self.kl_target)
        validate.positive("initial_kl_coef", self.initial_kl_coef)
        validate.positive("learning_rate", self.learning_rate)
        validate.positive("adam_epsilon", self.adam_epsilon)
        validate.count("num_epochs", self.num_epochs)
        validate.count("num_minibatches", self.num_minibatches)
        if self.sequence_length is not None:
            validate.count("sequence_length", self.sequence_length)
        if self.target_kl is not None:
            validate.positive("target_kl", self.target_kl)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.non_negative("value_coef", self.value_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)
        if self.value_clip is not None:
            validate.positive("value_clip", self.value_clip)
        validate.count("anneal_updates", self.anneal_updates, least=0)

    def init(self, models: AbstractActorCritic) -> PPOState:
        learning = trainable(models, self.optimiser)
        dtype = jnp.result_type(*jax.tree.leaves(learning.params))
        return PPOState(learning, jnp.asarray(self.initial_kl_coef, dtype))

    def behaviour(self, state: PPOState) -> CarryBehaviour:
        model = state.trainable.model
        return CarryBehaviour(Actor(model), keep_carry=not model.large_carry)

    def policy(self, state: PPOState) -> Actor:
        return Actor(state.trainable.model)

    def update(
        self, state: PPOState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[PPOState, Metrics]:
        """Fit the model to one rollout with leading axes `(time, env)`."""
        samples = self.score(state.trainable.model, batch)
        fitted, metrics = self._fit(state, samples, key)
        explained = explained_variance(samples.old_value, samples.value_target)
        metrics = metrics | {
            "train/explained_variance": explained,
            "train/gradient_snr": gradient_signal_to_noise(fitted.opt_state),
        }
        if self.objective is Objective.CLIP:
            return PPOState(fitted, state.kl_coef), metrics
        kl = samples.old.kl_divergence(recall(fitted.model, samples)[0]).mean()
        kl_coef = adapted(state.kl_coef, kl, target=self.kl_target)
        return PPOState(fitted, kl_coef), metrics | {
            "train/kl": kl,
            "train/kl_coef": state.kl_coef,
        }

    def score(self, model: AbstractActorCritic, rollout: Transition) -> Sample:
        """Advantages and value targets under the model that the rollout was gathered with."""
        acted, carry, old, value, next_value = _judged(model, rollout)
        advantage = generalised_advantage(
            rollout.reward,
            value,
            next_value,
            rollout.terminated,
            rollout.truncated,
            discount=self.discount,
            trace_decay=self.trace_decay,
        )
        whole = self.advantage_scale is AdvantageScale.BATCH
        return Sample(
            rollout.observation,
            rollout.action,
            rollout.boundary,
            carry,
            old,
            acted.log_prob,
            value,
            standardise(advantage) if whole else advantage,
            value + advantage,
        )

    def _fit(
        self, state: PPOState, samples: Sample, key: PRNGKeyArray
    ) -> tuple[Trainable[AbstractActorCritic], Metrics]:
        """Take the steps on a rollout; metrics are means over the minibatches looked at."""
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), samples)
        starts = [x.shape[0] for x in jax.tree.leaves(samples.carry)][:1] == [1]

        def step(before, rows):
            trainable, going = before
            minibatch = jax.tree.map(lambda x: x[rows], flat)
            if starts:  # of a sequence only the first carry is there: the others are not looked up
                carry = jax.tree.map(lambda x: x[rows[:1]], flat.carry)
                minibatch = dataclasses.replace(minibatch, carry=carry)
            stepped, metrics = descend(
                self.loss, trainable, self.optimiser, minibatch, state.kl_coef
            )
            if self.target_kl is None:
                return (stepped, going), (metrics, going, going)
            taken = going & ~(metrics["train/approx_kl"] > 1.5 * self.target_kl)
            return (stepped_if(taken, stepped, trainable), taken), (metrics, going, taken)

        rows = self._minibatches(samples, key)
        (fitted, _), seen = filter_scan(step, (state.trainable, jnp.array(True)), rows)
        metrics, looked_at, taken = seen
        metrics = {name: jnp.mean(m, where=looked_at) for name, m in metrics.items()}
        if self.target_kl is not None:
            metrics["train/step_fraction"] = jnp.mean(taken, dtype=metrics["train/loss"].dtype)
        return fitted, metrics

    def _minibatches(self, samples: Sample, key: PRNGKeyArray) -> Int[Array, "steps *time rows"]:
        """Which steps of the flattened rollout each minibatch holds."""
        time, envs = samples.advantage.shape
        passes = {"num_epochs": self.num_epochs, "num_minibatches": self.num_minibatches}
        if not jax.tree.leaves(samples.carry):
            return shuffled_rows(key, size=time * envs, **passes)
        length = self.sequence_length or time
        if jax.tree.leaves(samples.carry)[0].shape[0] == 1 and length != time:
            raise ValueError(
                f"`sequence_length` ({length}) must be a whole rollout, {time}, where the policy's "
                "memory is kept at its start only."
            )
        return shuffled_sequences(key, time=time, envs=envs, length=length, **passes)

    def loss(
        self, model: AbstractActorCritic, batch: Sample, kl_coef: Scalar
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The objective over one minibatch, and what to report of it."""
        distribution, value = recall(model, batch)
        log_prob = distribution.log_prob(batch.action)
        apart = self.advantage_scale is AdvantageScale.MINIBATCH
        advantage = standardise(batch.advantage) if apart else batch.advantage
        match self.objective:
            case Objective.CLIP:
                surrogate = clipped_surrogate(
                    log_prob, batch.old_log_prob, advantage, clip=self.clip
                )
            case Objective.KL_PENALTY:
                penalty = kl_coef * batch.old.kl_divergence(distribution)
                surrogate = importance_weighted(log_prob, batch.old_log_prob, advantage) + penalty
        policy_loss, value_loss = surrogate.mean(), self._value_error(value, batch).mean()
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
            "train/effective_sample_share": effective_sample_share(log_ratio.reshape(1, -1)),
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
            optax.clip_by_global_norm(self.max_grad_norm), optax.adam(rate, eps=self.adam_epsilon)
        )


def recall(
    model: AbstractActorCritic, batch: Sample
) -> tuple[AbstractEntropicDistribution, Float[Array, "*batch"]]:
    """Distributions and values, each sequence from the memory that was written down at its start.

    Axes are `[time, *batch]` where there is a memory, and any where there is none.
    """
    first = jax.tree.map(lambda x: x[0], batch.carry)
    distribution, value, _ = model.unroll(batch.observation, first, batch.boundary)
    return distribution, value


def _judged(
    model: AbstractActorCritic, rollout: Transition
) -> tuple[ActingRecord, Any, AbstractEntropicDistribution, Array, Array]:
    """What was written down of acting, carries, and the model's distributions and values anew.

    The true successor is seen with the memory of its own episode, whatever began after it.
    """
    record = rollout.record
    if isinstance(record, StartRecord):
        first = jax.tree.map(lambda x: x[0], record.start)
        old, value, after = model.unroll(rollout.observation, first, rollout.boundary)
        next_value = model.next_values(rollout.next_observation, after)
        return record.step, record.start, old, value, next_value
    if model.large_carry:
        raise ValueError("the policy's memory is large: gather with `record_start`.")
    old, value, after = model(rollout.observation, record.carry)
    _, next_value, _ = model(rollout.next_observation, after)
    return record, record.carry, old, value, next_value


# Where doubling and halving stop: from 0 or infinity they would never come back.
KL_COEF_RANGE = (1e-10, 1e10)


def adapted(kl_coef: Float[Array, ""], kl: Float[Array, ""], *, target: Scalar) -> Float[Array, ""]:
    r"""$\beta/2$ where $d < d_{\text{target}}/1.5$, $2\beta$ where $d > 1.5\,d_{\text{target}}$.

    Schulman et al. (2017), section 4; $d$ is the mean divergence of an update, in nats.
    """
    factor = jnp.where(kl < target / 1.5, 0.5, jnp.where(kl > 1.5 * target, 2.0, 1.0))
    return jnp.clip(kl_coef * factor.astype(kl_coef.dtype), *KL_COEF_RANGE)
