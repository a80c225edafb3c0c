"""Deep Q-learning, and Double. Mnih et al. (2015); van Hasselt et al. (2016)."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .. import validate
from ..losses.q_learning import bellman_target, double_q_value, max_value, taken
from ..losses.value import huber
from ..nn.distributions import EpsilonGreedy
from ..nn.policies import AbstractPolicy, Sampled
from ..nn.values import ActionValues
from ..optim.learner import Learner, descend, learner
from ..optim.polyak import polyak
from ..optim.schedule import annealed
from ..types import Metrics, Replayed, Scalar, Transition
from .protocol import AbstractErrorLearner


class EpsilonGreedyPolicy(AbstractPolicy[EpsilonGreedy]):
    """The best action by Q(s, ·), and with probability ε any action."""

    action_values: ActionValues
    epsilon: Scalar

    def __call__(self, observation: Any, memory: Any) -> tuple[EpsilonGreedy, Any]:
        return EpsilonGreedy(self.action_values(observation), self.epsilon), memory

    def initial_memory(self) -> Any:
        return ()


class DQNState(eqx.Module):
    critic: Learner[ActionValues]
    target: ActionValues
    updates: Int[Array, ""]


class DQN(AbstractErrorLearner[ActionValues, DQNState, Transition]):
    r"""Q-learning with a replay buffer and a slow target network $Q^-$, minimising

    $$\ell\bigl(Q_\phi(s,a) - r - \gamma\, Q^-(s', a^*)\bigr),
    \qquad a^* = \arg\max_{a'} Q^-(s',a')$$

    with the Huber loss ℓ; Mnih et al. (2015), algorithm 1. With `double`, the online network picks
    $a^*$; van Hasselt et al. (2016), section "Double DQN". No bootstrap after termination, one
    after truncation.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 1e-3
    """Step size of Adam."""
    double: bool = False
    """Let the online network choose the action that the target network values."""
    target_period: int = 500
    """Updates from one copy of the network to the target to the next."""
    polyak_rate: Scalar = 1.0
    """ρ, how far a target update moves: 1 copies."""
    epsilon_start: Scalar = 1.0
    """Exploration rate at the first update."""
    epsilon_end: Scalar = 0.05
    """Exploration rate from update `epsilon_updates` on."""
    epsilon_updates: int = 5_000
    """Updates over which the exploration rate falls linearly."""
    huber_delta: Scalar = 1.0
    """Error beyond which the loss is linear, in units of return."""
    anneal_updates: int = 0
    """Updates over which the learning rate falls linearly to 0; 0 keeps it constant."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.count("target_period", self.target_period)
        validate.in_interval("polyak_rate", self.polyak_rate, 0.0, 1.0, open_low=True)
        validate.unit_interval("epsilon_start", self.epsilon_start)
        validate.unit_interval("epsilon_end", self.epsilon_end)
        validate.count("epsilon_updates", self.epsilon_updates)
        validate.positive("huber_delta", self.huber_delta)
        validate.count("anneal_updates", self.anneal_updates, least=0)

    def init(self, models: ActionValues) -> DQNState:
        return DQNState(learner(models, self.optimiser), models, jnp.zeros((), jnp.int32))

    def behaviour(self, state: DQNState) -> Sampled:
        return Sampled(EpsilonGreedyPolicy(state.critic.model, self.epsilon(state.updates)))

    def policy(self, state: DQNState) -> AbstractPolicy:
        return EpsilonGreedyPolicy(state.critic.model, 0.0)

    def epsilon(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        """The exploration rate after so many updates."""
        done = jnp.minimum(updates / self.epsilon_updates, 1.0)
        return self.epsilon_start + (self.epsilon_end - self.epsilon_start) * done

    def update(
        self, state: DQNState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[DQNState, Metrics]:
        """Take one step on a minibatch, and now and then one of the target."""
        state, metrics, _ = self.update_with_errors(state, batch, key=key)
        return state, metrics

    def update_with_errors(
        self, state: DQNState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[DQNState, Metrics, Float[Array, " batch"]]:
        """The same, with Q(s, a) − y of each step."""
        del key
        target, weight = self.targets(state, batch), self._replayed(batch).weight

        def loss(critic: ActionValues):
            q = taken(critic(batch.observation), batch.action)
            loss = (weight * huber(q, target, delta=self.huber_delta)).mean()
            return loss, ({"train/loss": loss, "train/q_value": q.mean()}, q - target)

        critic, (metrics, error) = descend(loss, state.critic, self.optimiser)
        updates = state.updates + 1
        rate = jnp.where(updates % self.target_period == 0, self.polyak_rate, 0.0)
        slow = polyak(state.target, critic.model, rate)
        metrics["rollout/exploration_rate"] = self.epsilon(updates)
        return DQNState(critic, slow, updates), metrics, error

    def targets(self, state: DQNState, batch: Transition) -> Float[Array, " batch"]:
        """r + γ Q⁻(s', a*), with the return of n steps R + γᵐ Q⁻(s', a*)."""
        slow = state.target(batch.next_observation)
        if self.double:
            next_value = double_q_value(state.critic.model(batch.next_observation), slow)
        else:
            next_value = max_value(slow)
        discount = self._replayed(batch).discount
        return bellman_target(batch.reward, next_value, batch.terminated, discount=discount)

    def _replayed(self, batch: Transition) -> Replayed:
        """A uniform draw of single steps comes without."""
        if isinstance(batch.record, Replayed):
            return batch.record
        return Replayed(self.discount, 1.0)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(annealed(self.learning_rate, self.anneal_updates))
