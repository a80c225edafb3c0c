"""Soft actor–critic with twin critics and a learned temperature. Haarnoja et al. (2018b)."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..losses import soft
from ..losses.q_learning import bellman_target
from ..nn.policies import SamplingBehaviour, TanhGaussianPolicy
from ..nn.values import TwinActionValue
from ..optim.polyak import polyak
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .deterministic import fit_critic
from .protocol import AbstractAlgorithm


class ActorTwinCritic(eqx.Module):
    """A squashed Gaussian policy, and two estimates of the value of what it does."""

    actor: TanhGaussianPolicy
    critic: TwinActionValue


class SACState(eqx.Module):
    actor: Trainable[TanhGaussianPolicy]
    critic: Trainable[TwinActionValue]
    target_critic: TwinActionValue
    log_temperature: Trainable[Float[Array, ""]]


class SAC(AbstractAlgorithm[ActorTwinCritic, SACState, Transition]):
    r"""Off-policy maximum-entropy learning. With $a' \sim \pi_\theta(\cdot \mid s')$,

    $$y = r + \gamma\bigl(\min_i Q_i^-(s',a') - \tau \log \pi_\theta(a' \mid s')\bigr)$$

    the critics minimise $\tfrac12 (Q_i - y)^2$, the actor
    $E[\tau \log \pi_\theta(a \mid s) - \min_i Q_i(s,a)]$ along the path of $a$, and the temperature
    $\tau$ keeps the entropy near `target_entropy`. Haarnoja et al. (2018), *Soft Actor-Critic
    Algorithms and Applications*, eqs. 5–7 and 18. Our $Q$ leaves out its own action's entropy.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 3e-4
    """Step size of Adam, for actor, critics and temperature."""
    polyak_rate: Scalar = 0.005
    """ρ, how far the target critics move towards the critics at each update."""
    initial_temperature: Scalar = 1.0
    """τ before any update, in reward units a nat."""
    learn_temperature: bool = True
    """Adjust τ to hold the policy's entropy at `target_entropy`."""
    target_entropy: Scalar | None = None
    """Entropy to hold, in nats; None is minus the number of action dimensions."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.positive("initial_temperature", self.initial_temperature)
        if self.target_entropy is not None:
            validate.in_interval("target_entropy", self.target_entropy, -1e9, 1e9)

    def init(self, models: ActorTwinCritic) -> SACState:
        dtype = models.critic.values[0].layers[0].weight.dtype
        log_temperature = jnp.log(jnp.asarray(self.initial_temperature, dtype))
        fresh = lambda model: trainable(model, self.optimiser)
        return SACState(
            fresh(models.actor), fresh(models.critic), models.critic, fresh(log_temperature)
        )

    def behaviour(self, state: SACState) -> SamplingBehaviour:
        return SamplingBehaviour(state.actor.model)

    def policy(self, state: SACState) -> TanhGaussianPolicy:
        return state.actor.model

    def update(
        self, state: SACState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[SACState, Metrics]:
        """Critics to the soft target, actor to the new critics, temperature to the actor before."""
        target_key, actor_key = jr.split(key)
        temperature = jnp.exp(state.log_temperature.model)
        target = self.targets(state, batch, temperature, key=target_key)

        def actor_loss(actor: TanhGaussianPolicy, critic: TwinActionValue):
            distribution, _ = actor(batch.observation, actor.initial_carry())
            action, log_prob = distribution.sample_and_log_prob(actor_key)
            q = critic(batch.observation, action).min(axis=0)
            loss = soft.actor_loss(log_prob, q, temperature).mean()
            return loss, (loss, log_prob)

        critic, (critic_loss, q) = fit_critic(state.critic, batch, target, self.optimiser)
        actor, (loss, log_prob) = descend(actor_loss, state.actor, self.optimiser, critic.model)
        log_temperature = self._adjusted(state.log_temperature, log_prob, batch.action.shape[-1])
        target_critic = polyak(state.target_critic, critic.model, self.polyak_rate)
        return SACState(actor, critic, target_critic, log_temperature), {
            "train/critic_loss": critic_loss,
            "train/q_value": q,
            "train/actor_loss": loss,
            "train/entropy": -log_prob.mean(),
            "train/ent_coef": temperature,
        }

    def targets(
        self,
        state: SACState,
        batch: Transition,
        temperature: Float[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> Float[Array, " batch"]:
        """r + γ (min Q⁻(s', a') − τ log π(a' | s')), a' ∼ π."""
        actor = state.actor.model
        distribution, _ = actor(batch.next_observation, actor.initial_carry())
        action, log_prob = distribution.sample_and_log_prob(key)
        q = state.target_critic(batch.next_observation, action).min(axis=0)
        value = soft.soft_value(q, log_prob, temperature)
        return bellman_target(batch.reward, value, batch.terminated, discount=self.discount)

    def _adjusted(
        self, log_temperature: Trainable, log_prob: Float[Array, " batch"], dimensions: int
    ) -> Trainable:
        if not self.learn_temperature:
            return log_temperature
        wanted = -float(dimensions) if self.target_entropy is None else self.target_entropy

        def loss(log_temperature):
            return soft.temperature_loss(log_temperature, log_prob, wanted).mean(), None

        return descend(loss, log_temperature, self.optimiser)[0]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
