"""Soft actor–critic in its first form: a state value of its own. Haarnoja et al. (2018a)."""

import equinox as eqx
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..losses import soft
from ..losses.q_learning import bellman_target
from ..losses.value import squared_error
from ..nn.policies import SamplingBehaviour, TanhGaussianPolicy
from ..nn.values import StateValue, TwinActionValue
from ..optim.polyak import polyak
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .deterministic import fit_critic
from .protocol import AbstractAlgorithm


class ActorTwinCriticValue(eqx.Module):
    """A squashed Gaussian policy, two estimates of its action values, one of its state value."""

    actor: TanhGaussianPolicy
    critic: TwinActionValue
    value: StateValue


class SACVState(eqx.Module):
    actor: Trainable[TanhGaussianPolicy]
    critic: Trainable[TwinActionValue]
    value: Trainable[StateValue]
    target_value: StateValue


class SACV(AbstractAlgorithm[ActorTwinCriticValue, SACVState, Transition]):
    r"""Off-policy maximum-entropy learning with a network $V_\psi$ for the soft state value, its
    slow copy $V_{\bar\psi}$, and a temperature τ that stays. With $\tilde a \sim
    \pi_\theta(\cdot \mid s)$, drawn anew and not from the buffer,

    $$J_V = \tfrac12 \bigl(V_\psi(s) - \min_i Q_i(s,\tilde a)
        + \tau\log\pi_\theta(\tilde a \mid s)\bigr)^2, \qquad
    J_Q = \tfrac12 \bigl(Q_i(s,a) - r - \gamma V_{\bar\psi}(s')\bigr)^2$$

    and the actor minimises $E[\tau\log\pi_\theta(\tilde a \mid s) - \min_i Q_i(s,\tilde a)]$ along
    the path of $\tilde a$. Haarnoja et al. (2018), *Soft Actor-Critic: Off-Policy Maximum Entropy
    Deep Reinforcement Learning with a Stochastic Actor*, eqs. 5–13 and algorithm 1, whose reward
    scale is our 1/τ. No bootstrap after termination, one after truncation.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 3e-4
    """Step size of Adam, for actor, critics and state value."""
    polyak_rate: Scalar = 0.005
    """ρ, how far the slow state value moves towards the state value at each update."""
    temperature: Scalar = 0.2
    """τ, what a nat of entropy is worth, in reward units; the reward scale of the paper is 1/τ."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.positive("temperature", self.temperature)

    def init(self, models: ActorTwinCriticValue) -> SACVState:
        fresh = lambda model: trainable(model, self.optimiser)
        value = fresh(models.value)
        return SACVState(fresh(models.actor), fresh(models.critic), value, models.value)

    def behaviour(self, state: SACVState) -> SamplingBehaviour:
        return SamplingBehaviour(state.actor.model)

    def policy(self, state: SACVState) -> TanhGaussianPolicy:
        return state.actor.model

    def update(
        self, state: SACVState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[SACVState, Metrics]:
        """Actor, state value and critics, each by what the others were before the update."""
        judge = state.critic.model

        def actor_loss(actor: TanhGaussianPolicy):
            distribution, _ = actor(batch.observation, actor.initial_carry())
            action, log_prob = distribution.sample_and_log_prob(key)
            q = judge(batch.observation, action).min(axis=0)
            loss = soft.actor_loss(log_prob, q, self.temperature).mean()
            return loss, (loss, log_prob, soft.soft_value(q, log_prob, self.temperature))

        def value_loss(value: StateValue, target: Float[Array, " batch"]):
            loss = squared_error(value(batch.observation), target).mean()
            return loss, loss

        actor, (loss, log_prob, soft_value) = descend(actor_loss, state.actor, self.optimiser)
        value, fit = descend(value_loss, state.value, self.optimiser, soft_value)
        target = self.targets(state, batch)
        critic, (critic_loss, q) = fit_critic(state.critic, batch, target, self.optimiser)
        target_value = polyak(state.target_value, value.model, self.polyak_rate)
        return SACVState(actor, critic, value, target_value), {
            "train/critic_loss": critic_loss,
            "train/value_loss": fit,
            "train/actor_loss": loss,
            "train/q_value": q,
            "train/entropy": -log_prob.mean(),
        }

    def targets(self, state: SACVState, batch: Transition) -> Float[Array, " batch"]:
        """r + γ V⁻(s')."""
        value = state.target_value(batch.next_observation)
        return bellman_target(batch.reward, value, batch.terminated, discount=self.discount)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
