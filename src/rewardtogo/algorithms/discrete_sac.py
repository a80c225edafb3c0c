"""Soft actor–critic of discrete actions, its expectations exact. Christodoulou (2019)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..losses import soft
from ..losses.q_learning import bellman_target, taken
from ..losses.value import squared_error
from ..nn.policies import CategoricalPolicy, SamplingBehaviour
from ..nn.values import TwinActionValues
from ..optim.polyak import polyak
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractAlgorithm


class CategoricalTwinCritic(eqx.Module):
    """A policy over discrete actions, and two estimates of the value of each."""

    actor: CategoricalPolicy
    critic: TwinActionValues


class DiscreteSACState(eqx.Module):
    actor: Trainable[CategoricalPolicy]
    critic: Trainable[TwinActionValues]
    target_critic: TwinActionValues
    log_temperature: Trainable[Float[Array, ""]]


class DiscreteSAC(AbstractAlgorithm[CategoricalTwinCritic, DiscreteSACState, Transition]):
    r"""Off-policy maximum-entropy learning where every action can be summed over:

    $$y = r + \gamma \sum_{a'} \pi_\theta(a' \mid s')
    \bigl(\min_i Q_i^-(s',a') - \tau \log \pi_\theta(a' \mid s')\bigr)$$

    The critics minimise $\tfrac12 (Q_i(s,a) - y)^2$, the actor
    $\sum_a \pi_\theta(a \mid s) (\tau \log \pi_\theta(a \mid s) - \min_i Q_i(s,a))$, least at
    $\pi \propto e^{Q/\tau}$, and the temperature τ keeps the entropy near `target_entropy_fraction`
    of $\log|A|$. Christodoulou (2019), *Soft Actor-Critic for Discrete Action Settings*, eqs.
    10–12. No bootstrap after termination, one after truncation.
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
    """Adjust τ to hold the policy's entropy at `target_entropy_fraction` of its maximum."""
    target_entropy_fraction: Scalar = 0.5
    """Entropy to hold, as a share of that of the uniform policy, log |A|; at least 0, below 1."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.positive("initial_temperature", self.initial_temperature)
        share = self.target_entropy_fraction
        validate.in_interval("target_entropy_fraction", share, 0.0, 1.0, open_high=True)

    def init(self, models: CategoricalTwinCritic) -> DiscreteSACState:
        dtype = models.critic.values[0].layers[0].weight.dtype
        log_temperature = jnp.log(jnp.asarray(self.initial_temperature, dtype))
        fresh = lambda model: trainable(model, self.optimiser)
        return DiscreteSACState(
            fresh(models.actor), fresh(models.critic), models.critic, fresh(log_temperature)
        )

    def behaviour(self, state: DiscreteSACState) -> SamplingBehaviour:
        return SamplingBehaviour(state.actor.model)

    def policy(self, state: DiscreteSACState) -> CategoricalPolicy:
        return state.actor.model

    def update(
        self, state: DiscreteSACState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[DiscreteSACState, Metrics]:
        """Critics to the soft target, actor to the new critics, temperature to the actor before."""
        del key  # nothing is drawn: the sums are over all actions
        temperature = jnp.exp(state.log_temperature.model)
        target = self.targets(state, batch, temperature)

        def critic_loss(critic: TwinActionValues):
            every = critic(batch.observation)
            q = taken(every, jnp.broadcast_to(batch.action, every.shape[:-1]))
            loss = squared_error(q, jnp.broadcast_to(target, q.shape)).mean(axis=-1).sum()
            return loss, {"train/critic_loss": loss, "train/q_value": q.mean()}

        def actor_loss(actor: CategoricalPolicy, critic: TwinActionValues):
            log_probs = _log_probs(actor, batch.observation)
            q = critic(batch.observation).min(axis=0)
            of_each = soft.actor_loss(log_probs, q, temperature)
            loss = soft.expected(log_probs, of_each).mean()
            return loss, (loss, log_probs)

        critic, metrics = descend(critic_loss, state.critic, self.optimiser)
        actor, (loss, log_probs) = descend(actor_loss, state.actor, self.optimiser, critic.model)
        target_critic = polyak(state.target_critic, critic.model, self.polyak_rate)
        log_temperature = self._adjusted(state.log_temperature, log_probs)
        return DiscreteSACState(actor, critic, target_critic, log_temperature), metrics | {
            "train/actor_loss": loss,
            "train/entropy": -soft.expected(log_probs, log_probs).mean(),
            "train/ent_coef": temperature,
        }

    def targets(
        self, state: DiscreteSACState, batch: Transition, temperature: Float[Array, ""]
    ) -> Float[Array, " batch"]:
        """r + γ Σ π(a' | s') (min Q⁻(s', a') − τ log π(a' | s'))."""
        log_probs = _log_probs(state.actor.model, batch.next_observation)
        q = state.target_critic(batch.next_observation).min(axis=0)
        value = soft.expected(log_probs, soft.soft_value(q, log_probs, temperature))
        return bellman_target(batch.reward, value, batch.terminated, discount=self.discount)

    def _adjusted(
        self, log_temperature: Trainable, log_probs: Float[Array, "batch actions"]
    ) -> Trainable:
        if not self.learn_temperature:
            return log_temperature
        wanted = self.target_entropy_fraction * jnp.log(float(log_probs.shape[-1]))

        def loss(log_temperature):
            of_each = soft.temperature_loss(log_temperature, log_probs, wanted)
            return soft.expected(log_probs, of_each).mean(), None

        return descend(loss, log_temperature, self.optimiser)[0]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)


def _log_probs(actor: CategoricalPolicy, observation: Array) -> Float[Array, "*batch actions"]:
    distribution, _ = actor(observation, actor.initial_carry())
    return jax.nn.log_softmax(distribution.logits)
