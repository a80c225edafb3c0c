"""One-step actor–critic, online. Sutton and Barto (2018), section 13.5."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..losses.q_learning import bellman_target
from ..nn.actor_critic import ActorCritic
from ..nn.policies import AbstractBehaviour, EntropicPolicy
from ..nn.values import StateValue
from ..optim.step_rule import StepRule, step_rule
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .a2c import policy_loss, value_loss
from .protocol import AbstractAlgorithm


class OneStepActorCriticState(eqx.Module):
    actor: Trainable[EntropicPolicy]
    critic: Trainable[StateValue]


class PowerBehaviour(AbstractBehaviour):
    """Draws from the policy and writes down γ^t, t the steps since the episode began.

    The power is a memory: a source begins it anew at every border, be it an end or a cut.
    """

    policy: EntropicPolicy
    discount: Scalar

    def act(self, observation: Any, carry: Any, *, key: PRNGKeyArray) -> tuple[Array, Any, Any]:
        inner, power = carry
        distribution, inner = self.policy(observation, inner)
        after = (power * self.discount).astype(power.dtype)
        return distribution.sample(key), power, (inner, after)

    def initial_carry(self) -> Any:
        arrays = jax.tree.leaves(eqx.filter(self.policy, eqx.is_inexact_array))
        return self.policy.initial_carry(), jnp.ones((), jnp.result_type(*arrays))


class OneStepActorCritic(AbstractAlgorithm[ActorCritic, OneStepActorCriticState, Transition]):
    r"""A step of the policy and of the value function after every step of the environment:

    $$\delta = r + \gamma [\text{not terminated}] V_\phi(s') - V_\phi(s), \qquad
    \phi \leftarrow \phi + \alpha_\phi\, \delta\, \nabla V_\phi(s), \qquad
    \theta \leftarrow \theta + \alpha_\theta\, I\, \delta\, \nabla\log\pi_\theta(a \mid s)$$

    with $I = \gamma^t$. Sutton and Barto (2018), section 13.5, one-step actor–critic (episodic).
    The book's steps are `step_rule` SGD; Adam scales them. Environments side by side count as
    their mean. Where $V = V^\pi$, δ has the mean $A^\pi(s, a)$, and $I\delta\nabla\log\pi$ summed
    over an episode the mean $\nabla J$ as far as θ stands still; without `discount_scores` it is
    the usual practice that is followed.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 3e-4
    """Step size of the policy."""
    critic_learning_rate: Scalar = 1e-3
    """Step size of the value function."""
    step_rule: StepRule = StepRule.ADAM
    """SGD as in the book, or what scales its steps by the size of past gradients."""
    discount_scores: bool = True
    """Multiply step t's score by I = γ^t; practice leaves it out."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus, which carries no I."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.positive("critic_learning_rate", self.critic_learning_rate)
        validate.non_negative("entropy_coef", self.entropy_coef)

    def init(self, models: ActorCritic) -> OneStepActorCriticState:
        return OneStepActorCriticState(
            trainable(models.actor, self.optimiser), trainable(models.critic, self.critic_optimiser)
        )

    def behaviour(self, state: OneStepActorCriticState) -> PowerBehaviour:
        # Without the factor it stays 1.
        return PowerBehaviour(state.actor.model, self.discount if self.discount_scores else 1.0)

    def policy(self, state: OneStepActorCriticState) -> EntropicPolicy:
        return state.actor.model

    def update(
        self, state: OneStepActorCriticState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[OneStepActorCriticState, Metrics]:
        """Learn from one step of each environment, leading axes `(1, env)`; records are I."""
        del key
        after = state.critic.model(batch.next_observation)
        target = bellman_target(batch.reward, after, batch.terminated, discount=self.discount)
        td_error = target - state.critic.model(batch.observation)
        actor, metrics = descend(
            self.actor_loss, state.actor, self.optimiser, batch, batch.record * td_error
        )
        critic, error = descend(value_loss, state.critic, self.critic_optimiser, batch, target)
        return OneStepActorCriticState(actor, critic), metrics | {"train/value_loss": error}

    def actor_loss(
        self, actor: EntropicPolicy, batch: Transition, weight: Float[Array, "time env"]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Its gradient is −I δ ∇log π, less that of the entropy bonus."""
        return policy_loss(actor, batch, weight, entropy_coef=self.entropy_coef)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Of the policy."""
        return step_rule(self.step_rule, self.learning_rate)

    @property
    def critic_optimiser(self) -> optax.GradientTransformation:
        """Of the value function."""
        return step_rule(self.step_rule, self.critic_learning_rate)
