"""Advantage actor–critic on batches of rollouts. Mnih et al. (2016), synchronous."""

import enum

import equinox as eqx
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..estimators import returns
from ..estimators.diagnostics import explained_variance
from ..estimators.normalise import standardise
from ..losses.policy_gradient import score_function
from ..losses.value import squared_error
from ..nn.actor_critic import ActorCritic
from ..nn.policies import EntropicPolicy, SamplingBehaviour
from ..nn.values import StateValue
from ..optim.diagnostics import gradient_signal_to_noise
from ..optim.schedule import annealed
from ..optim.step_rule import StepRule, step_rule
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractAlgorithm


class ReturnTarget(enum.Enum):
    """What the return of a step is estimated with; see `rewardtogo.estimators.returns`."""

    MONTE_CARLO = "monte-carlo"
    ONE_STEP = "one-step"
    N_STEP = "n-step"
    LAMBDA = "lambda"


class A2CState(eqx.Module):
    actor: Trainable[EntropicPolicy]
    critic: Trainable[StateValue]


class A2C(AbstractAlgorithm[ActorCritic, A2CState, Transition]):
    r"""One gradient step on each rollout, of the policy and of the value function, minimising

    $$-\log\pi_\theta(a_t \mid s_t)\,\bigl(G_t - V(s_t)\bigr) - c_e H[\pi_\theta(\cdot \mid s_t)]
    \quad\text{and}\quad \tfrac12 \bigl(V_\phi(s_t) - G_t\bigr)^2$$

    as means over the rollout. Mnih et al. (2016), section 4 and algorithm S3. Whatever the target,
    $G_t - V(s_t)$ has the mean $A^\pi(s_t, a_t)$ when $V = V^\pi$.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    target: ReturnTarget = ReturnTarget.LAMBDA
    """How many rewards G holds before it bootstraps from V."""
    n: int = 5
    """Rewards of the n-step target."""
    trace_decay: Scalar = 0.95
    """λ of the lambda target: 0 is one-step, 1 is Monte Carlo."""
    learning_rate: Scalar = 1e-3
    """Step size of the policy."""
    critic_learning_rate: Scalar = 1e-3
    """Step size of the value function."""
    step_rule: StepRule = StepRule.ADAM
    """Adam, RMSProp as in the paper, or plain gradient descent."""
    entropy_coef: Scalar = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: Scalar = 0.5
    """Norm to which the gradient of each network is scaled down."""
    normalise_advantage: bool = False
    """Standardise the advantages within each rollout."""
    anneal_updates: int = 0
    """Iterations over which both learning rates fall linearly to 0; 0 keeps them constant."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.count("n", self.n)
        validate.unit_interval("trace_decay", self.trace_decay)
        validate.positive("learning_rate", self.learning_rate)
        validate.positive("critic_learning_rate", self.critic_learning_rate)
        validate.non_negative("entropy_coef", self.entropy_coef)
        validate.positive("max_grad_norm", self.max_grad_norm)
        validate.count("anneal_updates", self.anneal_updates, least=0)

    def init(self, models: ActorCritic) -> A2CState:
        return A2CState(
            trainable(models.actor, self.optimiser), trainable(models.critic, self.critic_optimiser)
        )

    def behaviour(self, state: A2CState) -> SamplingBehaviour:
        return SamplingBehaviour(state.actor.model)

    def policy(self, state: A2CState) -> EntropicPolicy:
        return state.actor.model

    def update(
        self, state: A2CState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[A2CState, Metrics]:
        """Take one step on a rollout with leading axes `(time, env)`."""
        del key
        value = state.critic.model(batch.observation)
        target = self.targets(state.critic.model, batch)
        actor, metrics = descend(
            self.actor_loss, state.actor, self.optimiser, batch, target - value
        )
        critic, error = descend(value_loss, state.critic, self.critic_optimiser, batch, target)
        metrics |= {
            "train/value_loss": error,
            "train/explained_variance": explained_variance(value, target),
        }
        if self.step_rule is StepRule.ADAM:
            metrics["train/gradient_snr"] = gradient_signal_to_noise(actor.opt_state)
        return A2CState(actor, critic), metrics

    def targets(self, critic: StateValue, rollout: Transition) -> Float[Array, "time env"]:
        """$G_t$: rewards to the target's reach, then V; never across a border."""
        rows = (
            rollout.reward,
            critic(rollout.next_observation),
            rollout.terminated,
            rollout.truncated,
        )
        match self.target:
            case ReturnTarget.N_STEP:
                return returns.n_step_returns(*rows, discount=self.discount, n=self.n)
            case ReturnTarget.MONTE_CARLO:
                decay = 1.0
            case ReturnTarget.ONE_STEP:
                decay = 0.0
            case ReturnTarget.LAMBDA:
                decay = self.trace_decay
        return returns.lambda_returns(*rows, discount=self.discount, trace_decay=decay)

    def actor_loss(
        self, actor: EntropicPolicy, batch: Transition, advantage: Float[Array, "time env"]
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Its gradient is the estimate, negated, less that of the entropy bonus."""
        advantage = standardise(advantage) if self.normalise_advantage else advantage
        return policy_loss(actor, batch, advantage, entropy_coef=self.entropy_coef)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        """Of the policy."""
        return self._steps(self.learning_rate)

    @property
    def critic_optimiser(self) -> optax.GradientTransformation:
        """Of the value function."""
        return self._steps(self.critic_learning_rate)

    def _steps(self, learning_rate: Scalar) -> optax.GradientTransformation:
        rate = annealed(learning_rate, self.anneal_updates)
        rule = step_rule(self.step_rule, rate)
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), rule)


def policy_loss(
    actor: EntropicPolicy,
    batch: Transition,
    weight: Float[Array, "time env"],
    *,
    entropy_coef: Scalar,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    r"""Mean of $-w_t \log\pi_\theta(a_t \mid s_t) - c_e H[\pi_\theta(\cdot \mid s_t)]$.

    Williams (1992); `weight` in units of return is a constant, entropy in nats.
    """
    distribution, _ = actor(batch.observation, actor.initial_carry())
    policy = score_function(distribution.log_prob(batch.action), weight).mean()
    entropy = distribution.entropy().mean()
    loss = policy - entropy_coef * entropy
    return loss, {
        "train/loss": loss,
        "train/policy_gradient_loss": policy,
        "train/entropy_loss": -entropy,
    }


def value_loss(
    critic: StateValue, batch: Transition, target: Float[Array, "time env"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""Mean of $\tfrac12 (V_\phi(s_t) - G_t)^2$, $G_t$ a constant; twice, to be reported too."""
    loss = squared_error(critic(batch.observation), target).mean()
    return loss, loss
