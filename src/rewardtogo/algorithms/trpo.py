"""Trust-region policy optimisation. Schulman et al. (2015); with GAE, (2016)."""

import enum
from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .. import validate
from ..estimators.diagnostics import explained_variance
from ..nn.actor_critic import ActorCritic
from ..nn.policies import EntropicPolicy, SamplingBehaviour
from ..optim.trainable import trainable
from ..optim.trust_region import Vector, length_to, line_search, penalised_length
from ..types import Metrics, Scalar, Transition
from .protocol import AbstractAlgorithm
from .trust_region import (
    NaturalDirection,
    PolicyProblem,
    TrustRegionState,
    fit_critic,
    judge,
    natural_direction,
    policy_problem,
)


class Divergence(enum.Enum):
    """Which divergence over the batch's states counts: that of practice or that of the theory."""

    MEAN = "mean"
    MAX = "max"


_OVER_STATES: dict[Divergence, Callable[[Array], Array]] = {
    Divergence.MEAN: jnp.mean,
    Divergence.MAX: jnp.max,
}


class TRPO(AbstractAlgorithm[ActorCritic, TrustRegionState, Transition]):
    r"""One step on each rollout, along the natural gradient, checked before it is taken:

    $$\max_\theta E[\rho A] \quad \text{subject to} \quad
    E_s D_{KL}(\pi_{\text{old}} \| \pi_\theta) \le \delta, \qquad
    \rho = \pi_\theta(a \mid s)/\pi_{\text{old}}(a \mid s)$$

    Schulman et al. (2015), eq. 14 and appendix C. The first of the lengths β, β/2, β/4, … is taken
    that gains in the surrogate and keeps the limit on the batch; none, where none does. With
    `penalty_coef` it maximises $E[\rho A] - C\, D_{KL}$ instead, section 4. Neither makes the
    return rise: the theorem wants the largest divergence over all states, and a coefficient that
    only tiny steps can pay. The critic is fitted after.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    trace_decay: Scalar = 0.95
    """λ of the generalised advantage estimate: 0 is one-step, 1 is Monte Carlo."""
    max_kl: Scalar = 0.01
    """δ, limit on the divergence of the old policy from the new one, in nats."""
    divergence: Divergence = Divergence.MEAN
    """Limit or penalise its mean over the batch's states, or the largest."""
    penalty_coef: Scalar | None = None
    """C, price of a nat in units of advantage, in place of the limit; None keeps the limit."""
    cg_iterations: int = 10
    """Iterations of conjugate gradient."""
    damping: Scalar = 0.1
    """Added to the diagonal of the Fisher matrix."""
    line_search_steps: int = 10
    """Step lengths tried, each half of the one before."""
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
        if self.penalty_coef is not None:
            validate.positive("penalty_coef", self.penalty_coef)
        validate.count("cg_iterations", self.cg_iterations)
        validate.non_negative("damping", self.damping)
        validate.count("line_search_steps", self.line_search_steps)
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
        actor, metrics = self.improve(old)
        critic, value_loss = fit_critic(
            state.critic,
            self.optimiser,
            samples,
            num_epochs=self.num_epochs,
            num_minibatches=self.num_minibatches,
            key=key,
        )
        return TrustRegionState(actor, critic), metrics | {
            "train/value_loss": value_loss,
            "train/explained_variance": explained_variance(samples.value, samples.value_target),
        }

    def improve(self, old: PolicyProblem) -> tuple[EntropicPolicy, Metrics]:
        """The policy after one step, and what to report of it."""
        found = natural_direction(old, iterations=self.cg_iterations, damping=self.damping)
        step = self._length(found) * found.direction
        theta, share = line_search(
            lambda theta: self._accepts(old, theta), old.theta, step, lengths=self.line_search_steps
        )
        divergences = old.divergences(theta)
        return old.actor(theta), {
            "train/kl": jnp.mean(divergences),
            "train/max_kl": jnp.max(divergences),
            "train/surrogate_gain": old.gain(theta),
            "train/line_search_fraction": share,
            "train/cg_residual": found.residual,
            "train/entropy_loss": -jnp.mean(old.distribution(theta).entropy()),
        }

    def _length(self, found: NaturalDirection) -> Float[Array, ""]:
        curvature = _OVER_STATES[self.divergence](found.curvatures)
        if self.penalty_coef is None:
            return length_to(curvature, self.max_kl)
        return penalised_length(found.slope, curvature, self.penalty_coef)

    def _accepts(self, old: PolicyProblem, theta: Vector) -> Bool[Array, ""]:
        gain, divergence = old.gain(theta), _OVER_STATES[self.divergence](old.divergences(theta))
        # An action that had become impossible gives a ratio, and a gain, that overflows.
        finite = jnp.isfinite(gain)
        if self.penalty_coef is None:
            return finite & (gain > 0) & (divergence <= self.max_kl)
        # Rounding may take the divergence of no step below 0: that would be a gain.
        return finite & (gain > self.penalty_coef * jnp.maximum(divergence, 0))

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate)
