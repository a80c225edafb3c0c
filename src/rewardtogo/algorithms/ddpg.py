"""Deep deterministic policy gradient. Lillicrap et al. (2016)."""

import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..losses.q_learning import bellman_target
from ..nn.deterministic import ActionValue, DeterministicPolicy, Noisy
from ..optim.polyak import polyak
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


DDPGModels = DeterministicActorCritic[ActionValue]
DDPGState = ActorCriticState[ActionValue]


class DDPG(AbstractAlgorithm[DDPGModels, DDPGState, Transition]):
    r"""Off-policy deterministic policy gradient with slow copies $\mu^-$ and $Q^-$. The critic
    minimises $\tfrac12 (Q - y)^2$ and the actor $-Q(s, \mu_\theta(s))$, with

    $$y = r + \gamma\, Q^-(s', \mu^-(s'))$$

    Lillicrap et al. (2016), *Continuous control with deep reinforcement learning*, algorithm 1,
    but exploring by Gaussian noise, without weight decay or batch normalisation. No bootstrap
    after termination, one after truncation.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 1e-3
    """Step size of Adam, for actor and critic."""
    polyak_rate: Scalar = 0.005
    """ρ, how far the slow copies move towards the networks at each update."""
    exploration_noise: Scalar = 0.1
    """Deviation of the noise on actions taken, in units of half the action range."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.non_negative("exploration_noise", self.exploration_noise)

    def init(self, models: DDPGModels) -> DDPGState:
        return start(models, self.optimiser)

    def behaviour(self, state: DDPGState) -> Noisy:
        return Noisy(state.actor.model, self.exploration_noise)

    def policy(self, state: DDPGState) -> DeterministicPolicy:
        return state.actor.model

    def update(
        self, state: DDPGState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[DDPGState, Metrics]:
        """Critic to the target, actor up the new critic, slow copies after both."""
        del key
        target = self.targets(state, batch)
        critic, (critic_loss, q) = fit_critic(state.critic, batch, target, self.optimiser)
        actor, actor_loss = improve_actor(
            state.actor, critic.model, batch.observation, self.optimiser
        )
        state = ActorCriticState(actor, critic, state.target)
        slow = polyak(state.target, state.online, self.polyak_rate)
        return ActorCriticState(actor, critic, slow), {
            "train/critic_loss": critic_loss,
            "train/q_value": q,
            "train/actor_loss": actor_loss,
        }

    def targets(self, state: DDPGState, batch: Transition) -> Float[Array, " batch"]:
        """r + γ Q⁻(s', μ⁻(s'))."""
        action = chosen(state.target.actor, batch.next_observation)
        value = state.target.critic(batch.next_observation, action)
        return bellman_target(batch.reward, value, batch.terminated, discount=self.discount)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
