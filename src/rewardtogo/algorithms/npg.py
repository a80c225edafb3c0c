"""Natural policy gradient. Kakade (2002); steps of a given divergence, with GAE.

What it shares with TRPO is here too: the batch judged by the critic, the policy as a function of
one vector, the direction.
"""

import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from .. import validate
from ..estimators.diagnostics import explained_variance
from ..nn.actor_critic import ActorCritic
from ..nn.policies import EntropicPolicy, SamplingBehaviour
from ..optim.trainable import trainable
from ..optim.trust_region import length_to
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractAlgorithm
from .trust_region import TrustRegionState, fit_critic, judge, natural_direction, policy_problem


class NPG(AbstractAlgorithm[ActorCritic, TrustRegionState, Transition]):
    r"""One step along the natural gradient on each rollout, of the length that a divergence sets:

    $$\theta \leftarrow \theta + \sqrt{\frac{2\delta}{x^\top F x}}\; x, \qquad
    (F + \lambda I)\, x = \nabla_\theta E[\rho A], \qquad
    F = \nabla^2_\theta E\, D_{KL}(\pi_{\text{old}} \| \pi_\theta)$$

    Kakade (2002), section 2; the length as in Rajeswaran et al. (2017), eq. 6. The divergence is
    δ to second order only, and nothing checks the step: `TRPO` does. The critic is fitted after.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    trace_decay: Scalar = 0.95
    """λ of the generalised advantage estimate: 0 is one-step, 1 is Monte Carlo."""
    max_kl: Scalar = 0.01
    """δ, mean divergence of the old policy from the new one, in nats, to second order."""
    cg_iterations: int = 10
    """Iterations of conjugate gradient."""
    damping: Scalar = 0.1
    """Added to the diagonal of the Fisher matrix."""
    learning_rate: Scalar = 1e-3
    """Step size of Adam, which fits the value function."""
    num_epochs: int = 10
    """Passes of the value function over each rollout."""
    num_minibatches: int = 8
    """Gradient steps of the value function in each pass; must divide the rollout's size."""
    normalise_advantage: bool = True
    """Standardise the advantages of a rollout."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.unit_interval("trace_decay", self.trace_decay)
        validate.positive("max_kl", self.max_kl)
        validate.count("cg_iterations", self.cg_iterations)
        validate.non_negative("damping", self.damping)
        validate.positive("learning_rate", self.learning_rate)
        validate.count("num_epochs", self.num_epochs)
        validate.count("num_minibatches", self.num_minibatches)

    def init(self, models: ActorCritic) -> TrustRegionState:
        return TrustRegionState(models.actor, trainable(models.critic, self.optimiser))

    def behaviour(self, state: TrustRegionState) -> SamplingBehaviour:
        return SamplingBehaviour(state.actor)

    def policy(self, state: TrustRegionState) -> EntropicPolicy:
        return state.actor

    def update(
        self, state: TrustRegionState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[TrustRegionState, Metrics]:
        """Step once, then fit the critic, on a rollout with leading axes `(time, env)`."""
        samples = judge(
            state.critic.model,
            batch,
            discount=self.discount,
            trace_decay=self.trace_decay,
            normalise_advantage=self.normalise_advantage,
        )
        old = policy_problem(state.actor, samples)
        found = natural_direction(old, iterations=self.cg_iterations, damping=self.damping)
        length = length_to(jnp.mean(found.curvatures), self.max_kl)
        theta = old.theta + length * found.direction
        critic, value_loss = fit_critic(
            state.critic,
            self.optimiser,
            samples,
            num_epochs=self.num_epochs,
            num_minibatches=self.num_minibatches,
            key=key,
        )
        divergences = old.divergences(theta)
        return TrustRegionState(old.actor(theta), critic), {
            "train/kl": jnp.mean(divergences),
            "train/max_kl": jnp.max(divergences),
            "train/surrogate_gain": old.gain(theta),
            "train/cg_residual": found.residual,
            "train/entropy_loss": -jnp.mean(old.distribution(theta).entropy()),
            "train/value_loss": value_loss,
            "train/explained_variance": explained_variance(samples.value, samples.value_target),
        }

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
