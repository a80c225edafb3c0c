"""Deep Q-learning, Double, and with two networks. Mnih et al. (2015); van Hasselt et al."""

import enum
from typing import assert_never

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .. import validate
from ..losses.q_learning import bellman_target, double_q_value, max_value, taken
from ..losses.value import huber, squared_error
from ..nn.exploration import BoltzmannPolicy, EpsilonGreedyPolicy, Exploration
from ..nn.policies import AbstractPolicy, SamplingBehaviour
from ..nn.values import AbstractActionValues, MeanActionValues
from ..optim.polyak import polyak
from ..optim.schedule import annealed, falling
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Replayed, Scalar, Transition
from .protocol import AbstractErrorLearner


class ValueLoss(enum.Enum):
    """What an error of Q costs."""

    HUBER = "huber"
    SQUARED = "squared"


class Critic(eqx.Module):
    """A network that learns, and its slow copy."""

    trainable: Trainable[AbstractActionValues]
    target: AbstractActionValues


class DQNState(eqx.Module):
    critic: Trainable[AbstractActionValues]
    target: AbstractActionValues
    updates: Int[Array, ""]
    twin: Critic | None = None  # the second network of double Q-learning


class DQN(AbstractErrorLearner[AbstractActionValues, DQNState, Transition]):
    r"""Q-learning with a replay buffer and a slow target network $Q^-$, minimising

    $$\ell\bigl(Q_\phi(s,a) - r - \gamma\, Q^-(s', a^*)\bigr),
    \qquad a^* = \arg\max_{a'} Q^-(s',a')$$

    with the Huber loss ℓ; Mnih et al. (2015), algorithm 1. With `double`, the online network picks
    $a^*$; van Hasselt et al. (2016), section "Double DQN". With `twin`, two networks learn: at each
    update a fair coin says which, and the slow copy of the other one values the $a^*$ that it
    picks; actions follow their mean; van Hasselt (2010), algorithm 1, with a minibatch for a step.
    No bootstrap after termination, one after truncation.

    **Raises:** `ValueError` for settings out of range, or that exclude each other.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    learning_rate: Scalar = 1e-3
    """Step size of Adam."""
    double: bool = False
    """Let the online network choose the action that a target network values."""
    twin: bool = False
    """Train two networks: each values the actions that the other chooses."""
    target_period: int = 500
    """Updates from one copy of the network to the target to the next."""
    polyak_rate: Scalar = 1.0
    """ρ, how far a target update moves: 1 copies."""
    exploration: Exploration = Exploration.EPSILON_GREEDY
    """How actions are chosen while learning."""
    epsilon_start: Scalar = 1.0
    """Exploration rate at the first update."""
    epsilon_end: Scalar = 0.05
    """Exploration rate from update `epsilon_updates` on."""
    epsilon_updates: int = 5_000
    """Updates over which the exploration rate falls linearly."""
    temperature_start: Scalar | None = None
    """τ of boltzmann at the first update, in units of return; 1 without one."""
    temperature_end: Scalar | None = None
    """τ of boltzmann from update `temperature_updates` on; 0.05 without one."""
    temperature_updates: int | None = None
    """Updates over which τ falls linearly; as many as `epsilon_updates` without a number."""
    loss: ValueLoss = ValueLoss.HUBER
    """What an error costs: huber is linear where it is large, squared fits the mean."""
    huber_delta: Scalar | None = None
    """Error beyond which the huber loss is linear, in units of return; 1 without one."""
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
        self._check_temperature()
        if self.loss is not ValueLoss.HUBER:
            needed = f"`loss` huber, not for {self.loss.value}"
            validate.unused("huber_delta", self.huber_delta, needed)
        elif self.huber_delta is not None:
            validate.positive("huber_delta", self.huber_delta)
        validate.count("anneal_updates", self.anneal_updates, least=0)

    def _check_temperature(self):
        """The options of ε stay where τ is used: those tuned for an environment hold them."""
        values = [(name, getattr(self, name)) for name in ("temperature_start", "temperature_end")]
        if self.exploration is not Exploration.BOLTZMANN:
            for name, value in [*values, ("temperature_updates", self.temperature_updates)]:
                validate.unused(name, value, "boltzmann exploration")
            return
        for name, value in values:
            if value is not None:
                validate.positive(name, value)
        if self.temperature_updates is not None:
            validate.count("temperature_updates", self.temperature_updates)

    def init(self, models: AbstractActionValues) -> DQNState:
        """`MeanActionValues` of two networks for `twin`, else one network.

        **Raises:** `ValueError` if there are not as many networks as learn.
        """
        networks = models.networks if isinstance(models, MeanActionValues) else (models,)
        if len(networks) != 1 + self.twin:
            raise ValueError(f"`twin`={self.twin} trains {1 + self.twin}; got {len(networks)}.")
        first, *rest = (Critic(trainable(n, self.optimiser), n) for n in networks)
        twin = rest[0] if rest else None
        return DQNState(first.trainable, first.target, jnp.zeros((), jnp.int32), twin)

    def behaviour(self, state: DQNState) -> SamplingBehaviour:
        action_values = _acting(state)
        match self.exploration:
            case Exploration.EPSILON_GREEDY:
                return SamplingBehaviour(
                    EpsilonGreedyPolicy(action_values, self.epsilon(state.updates))
                )
            case Exploration.BOLTZMANN:
                return SamplingBehaviour(
                    BoltzmannPolicy(action_values, self.temperature(state.updates))
                )
            case never:
                assert_never(never)

    def policy(self, state: DQNState) -> AbstractPolicy:
        return EpsilonGreedyPolicy(_acting(state), 0.0)

    def epsilon(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        """The exploration rate after so many updates."""
        return falling(self.epsilon_start, self.epsilon_end, updates / self.epsilon_updates)

    def temperature(self, updates: Int[Array, ""]) -> Float[Array, ""]:
        """τ after so many updates."""
        start = 1.0 if self.temperature_start is None else self.temperature_start
        end = 0.05 if self.temperature_end is None else self.temperature_end
        return falling(start, end, updates / (self.temperature_updates or self.epsilon_updates))

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
        if state.twin is not None:
            state = exchanged(state, jr.bernoulli(key))
        target, weight = self.targets(state, batch), self._replayed(batch).weight

        def loss(critic: AbstractActionValues):
            q = taken(critic(batch.observation), batch.action)
            loss = (weight * self.cost(q, target)).mean()
            return loss, ({"train/loss": loss, "train/q_value": q.mean()}, q - target)

        critic, (metrics, error) = descend(loss, state.critic, self.optimiser)
        updates = state.updates + 1
        rate = jnp.where(updates % self.target_period == 0, self.polyak_rate, 0.0)
        slow = polyak(state.target, critic.model, rate)
        twin = state.twin
        if twin is not None:
            twin = Critic(twin.trainable, polyak(twin.target, twin.trainable.model, rate))
        after = DQNState(critic, slow, updates, twin)
        return after, metrics | self._explored(updates), error

    def targets(self, state: DQNState, batch: Transition) -> Float[Array, " batch"]:
        """r + γ Q⁻(s', a*), with the return of n steps R + γᵐ Q⁻(s', a*)."""
        chooser = state.critic.model if self.double else state.target
        judge = state.target if state.twin is None else state.twin.target
        judged = judge(batch.next_observation)
        if chooser is judge:
            next_value = max_value(judged)
        else:
            next_value = double_q_value(chooser(batch.next_observation), judged)
        discount = self._replayed(batch).discount
        return bellman_target(batch.reward, next_value, batch.terminated, discount=discount)

    def _replayed(self, batch: Transition) -> Replayed:
        """A uniform draw of single steps comes without."""
        if isinstance(batch.record, Replayed):
            return batch.record
        return Replayed(self.discount, 1.0)

    def cost(
        self, q: Float[Array, " batch"], target: Float[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """What each error costs."""
        match self.loss:
            case ValueLoss.HUBER:
                delta = 1.0 if self.huber_delta is None else self.huber_delta
                return huber(q, target, delta=delta)
            case ValueLoss.SQUARED:
                return squared_error(q, target)
            case never:
                assert_never(never)

    def _explored(self, updates: Int[Array, ""]) -> Metrics:
        match self.exploration:
            case Exploration.EPSILON_GREEDY:
                return {"rollout/exploration_rate": self.epsilon(updates)}
            case Exploration.BOLTZMANN:
                return {"rollout/temperature": self.temperature(updates)}
            case never:
                assert_never(never)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        # Of two networks each takes half of the updates.
        steps = -(-self.anneal_updates // 2) if self.twin else self.anneal_updates
        return optax.adam(annealed(self.learning_rate, steps))


def exchanged(state: DQNState, swap: Bool[Array, ""]) -> DQNState:
    """The two networks in each other's place where `swap`: the one in `critic` learns next.

    To leave them there is to toss which one learns: a fair coin tossed for the places is one for
    the networks, and nothing else tells them apart.
    """
    assert state.twin is not None
    here, there = Critic(state.critic, state.target), state.twin

    def pick(a, b):
        return jnp.where(swap, a, b) if eqx.is_array(a) else a

    first, second = jax.tree.map(pick, there, here), jax.tree.map(pick, here, there)
    return DQNState(first.trainable, first.target, state.updates, second)


def _acting(state: DQNState) -> AbstractActionValues:
    """Of two networks their mean, as van Hasselt (2010) has it."""
    if state.twin is None:
        return state.critic.model
    return MeanActionValues((state.critic.model, state.twin.trainable.model))
