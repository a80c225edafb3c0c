"""What DDPG and TD3 have in common: the networks, their slow copies, one step of each.

SAC, too, fits its critics as they do.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..losses.deterministic import actor_loss
from ..losses.value import squared_error
from ..nn.deterministic import ActionValue, DeterministicPolicy, PointMass
from ..nn.policies import AbstractPolicy
from ..nn.values import TwinActionValue
from ..optim.trainable import Trainable, descend, trainable
from ..types import Transition


class DeterministicActorCritic[C: (ActionValue, TwinActionValue)](eqx.Module):
    """A deterministic policy, and one or two estimates of the value of what it does."""

    actor: DeterministicPolicy
    critic: C


class ActorCriticState[C: (ActionValue, TwinActionValue)](eqx.Module):
    """What learns, and its slow copy, from which targets are made."""

    actor: Trainable[DeterministicPolicy]
    critic: Trainable[C]
    target: DeterministicActorCritic[C]

    @property
    def online(self) -> DeterministicActorCritic[C]:
        """The networks that learn."""
        return DeterministicActorCritic(self.actor.model, self.critic.model)


def start[C: (ActionValue, TwinActionValue)](
    models: DeterministicActorCritic[C], optimiser: optax.GradientTransformation
) -> ActorCriticState[C]:
    """The state before any data: the slow copies begin as the networks."""
    actor, critic = trainable(models.actor, optimiser), trainable(models.critic, optimiser)
    return ActorCriticState(actor, critic, models)


def chosen(actor: AbstractPolicy[PointMass], observation: Any) -> Float[Array, "*batch dims"]:
    """μ(s)."""
    return actor(observation, actor.initial_carry())[0].mode()


def fit_critic[C: (ActionValue, TwinActionValue)](
    critic: Trainable[C],
    batch: Transition,
    target: Float[Array, " batch"],
    optimiser: optax.GradientTransformation,
) -> tuple[Trainable[C], tuple[Float[Array, ""], Float[Array, ""]]]:
    """One step on ½(Q(s, a) − y)², summed over critics; their loss, and the mean of Q."""

    def loss(critic: C):
        q = critic(batch.observation, batch.action)
        loss = squared_error(q, jnp.broadcast_to(target, q.shape)).mean(axis=-1).sum()
        return loss, (loss, q.mean())

    return descend(loss, critic, optimiser)


def improve_actor(
    actor: Trainable[DeterministicPolicy],
    critic: ActionValue,
    observation: Any,
    optimiser: optax.GradientTransformation,
) -> tuple[Trainable[DeterministicPolicy], Float[Array, ""]]:
    """One step on −Q(s, μ(s)), and that loss."""

    def loss(actor: DeterministicPolicy):
        loss = actor_loss(critic(observation, chosen(actor, observation))).mean()
        return loss, loss

    return descend(loss, actor, optimiser)
