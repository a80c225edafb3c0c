"""Twin delayed DDPG: three repairs of DDPG's overestimation. Fujimoto et al. (2018)."""

import equinox as eqx
import jax.lax as lax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .. import validate
from ..losses.deterministic import smoothed_action
from ..losses.q_learning import bellman_target
from ..nn.deterministic import ActionValue, DeterministicPolicy, Noisy
from ..nn.values import TwinActionValue
from ..optim.polyak import polyak
from ..optim.trainable import Trainable
from ..types import Metrics, Scalar, Transition
from .deterministic import (
    ActorCriticState,
    DeterministicActorCritic,
    chosen,
    fit_critic,
    improve_actor,
    start,
)
from .protocol import AbstractAlgorithm


TD3Models = DeterministicActorCritic[TwinActionValue]


class TD3State(eqx.Module):
    networks: ActorCriticState[TwinActionValue]
    updates: Int[Array, ""]
    actor_loss: Float[Array, ""]  # of the last update that moved the actor


class TD3(AbstractAlgorithm[TD3Models, TD3State, Transition]):
    r"""DDPG with twin critics, a smoothed target and a delayed actor. With
    $\epsilon = \mathrm{clip}(\sigma\xi, -c, c)$, $\xi \sim N(0, I)$,

    $$y = r + \gamma \min_i Q_i^-\bigl(s', \mathrm{clip}(\mu^-(s') + \epsilon, -1, 1)\bigr)$$

    both critics minimise $\tfrac12 (Q_i - y)^2$ at every update; the actor minimises
    $-Q_1(s, \mu_\theta(s))$, and the slow copies move, at every `policy_delay`-th. Fujimoto et al.
    (2018), *Addressing Function Approximation Error in Actor-Critic Methods*, algorithm 1. No
    bootstrap after termination, one after truncation.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 1e-3
    """Step size of Adam, for actor and critics."""
    polyak_rate: Scalar = 0.005
    """ρ, how far the slow copies move towards the networks when they move."""
    exploration_noise: Scalar = 0.1
    """Deviation of the noise on actions taken, in units of half the action range."""
    target_noise: Scalar = 0.2
    """σ, deviation of the noise on the target's actions, in the same units."""
    target_noise_clip: Scalar = 0.5
    """c, bound on the noise on the target's actions, in the same units."""
    policy_delay: int = 2
    """Updates of the critics from one of the actor to the next."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.non_negative("exploration_noise", self.exploration_noise)
        validate.non_negative("target_noise", self.target_noise)
        validate.non_negative("target_noise_clip", self.target_noise_clip)
        validate.count("policy_delay", self.policy_delay)

    def init(self, models: TD3Models) -> TD3State:
        no_loss = jnp.zeros((), models.critic.values[0].layers[0].weight.dtype)
        return TD3State(start(models, self.optimiser), jnp.zeros((), jnp.int32), no_loss)

    def behaviour(self, state: TD3State) -> Noisy:
        return Noisy(state.networks.actor.model, self.exploration_noise)

    def policy(self, state: TD3State) -> DeterministicPolicy:
        return state.networks.actor.model

    def update(
        self, state: TD3State, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[TD3State, Metrics]:
        """Critics to the target; now and then the actor up the first one, and slow copies."""
        before, updates = state.networks, state.updates + 1
        target = self.targets(before, batch, key=key)
        critic, (critic_loss, q) = fit_critic(before.critic, batch, target, self.optimiser)
        networks, actor_loss = lax.cond(
            updates % self.policy_delay == 0,
            lambda: self._improved(before, critic, batch),
            lambda: (ActorCriticState(before.actor, critic, before.target), state.actor_loss),
        )
        return TD3State(networks, updates, actor_loss), {
            "train/critic_loss": critic_loss,
            "train/q_value": q,
            "train/actor_loss": actor_loss,
        }

    def targets(
        self,
        networks: ActorCriticState[TwinActionValue],
        batch: Transition,
        *,
        key: PRNGKeyArray,
    ) -> Float[Array, " batch"]:
        """r + γ min Q⁻(s', clip(μ⁻(s') + ε))."""
        action = chosen(networks.target.actor, batch.next_observation)
        noise = self.target_noise * jr.normal(key, action.shape, action.dtype)
        action = smoothed_action(action, noise, noise_clip=self.target_noise_clip)
        value = networks.target.critic(batch.next_observation, action).min(axis=0)
        return bellman_target(batch.reward, value, batch.terminated, discount=self.discount)

    def _improved(
        self,
        before: ActorCriticState[TwinActionValue],
        critic: Trainable[TwinActionValue],
        batch: Transition,
    ) -> tuple[ActorCriticState[TwinActionValue], Float[Array, ""]]:
        judge = ActionValue(critic.model.encoder, critic.model.values[0])
        actor, loss = improve_actor(before.actor, judge, batch.observation, self.optimiser)
        after = ActorCriticState(actor, critic, before.target)
        slow = polyak(before.target, after.online, self.polyak_rate)
        return ActorCriticState(actor, critic, slow), loss

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
