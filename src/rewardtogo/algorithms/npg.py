"""Natural policy gradient. Kakade (2002); steps of a given divergence, with GAE.

What it shares with TRPO is here too: the batch judged by the critic, the policy as a function of
one vector, the direction.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .. import validate
from .._scan import filter_scan
from ..estimators.normalise import standardise
from ..estimators.returns import generalised_advantage
from ..losses.value import squared_error
from ..minibatches import shuffled_rows
from ..nn.actor_critic import ActorCritic
from ..nn.distributions import AbstractEntropicDistribution
from ..nn.policies import EntropicPolicy, Sampled
from ..nn.values import StateValue
from ..optim.learner import Learner, descend, learner
from ..optim.trust_region import Vector, conjugate_gradient, fisher, length_to
from ..types import Metrics, Scalar, Transition
from .ppo import explained_variance
from .protocol import AbstractAlgorithm


class TrustRegionState(eqx.Module):
    """The policy has no optimiser: each of its steps is computed afresh."""

    actor: EntropicPolicy
    critic: Learner[StateValue]


class Judged(eqx.Module):
    """A rollout without its axes of time and environment, and what the critic says of it."""

    observation: Any
    action: Shaped[Array, "..."]
    value: Float[Array, " batch"]
    value_target: Float[Array, " batch"]
    advantage: Float[Array, " batch"]


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
        return TrustRegionState(models.actor, learner(models.critic, self.optimiser))

    def behaviour(self, state: TrustRegionState) -> Sampled:
        return Sampled(state.actor)

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


def judge(
    critic: StateValue,
    rollout: Transition,
    *,
    discount: Scalar,
    trace_decay: Scalar,
    normalise_advantage: bool,
) -> Judged:
    """Advantages and value targets under the critic as it was when the rollout was gathered."""
    value = critic(rollout.observation)
    advantage = generalised_advantage(
        rollout.reward,
        value,
        critic(rollout.next_observation),
        rollout.terminated,
        rollout.truncated,
        discount=discount,
        trace_decay=trace_decay,
    )
    target = value + advantage
    weight = standardise(advantage) if normalise_advantage else advantage
    judged = (rollout.observation, rollout.action, value, target, weight)
    size = rollout.reward.size
    return Judged(*jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), judged))


class PolicyProblem(eqx.Module):
    """What a change of the policy's parameters gains on a batch, and how far it goes.

    The old policy is a constant; its parameters are `theta`.
    """

    theta: Vector
    frozen: EntropicPolicy
    unravel: Callable[[Vector], EntropicPolicy]
    old: AbstractEntropicDistribution
    samples: Judged

    def actor(self, theta: Vector) -> EntropicPolicy:
        """The policy with these parameters."""
        return eqx.combine(self.unravel(theta), self.frozen)

    def distribution(self, theta: Vector) -> AbstractEntropicDistribution:
        """Its distributions in the states of the batch."""
        actor = self.actor(theta)
        return actor(self.samples.observation, actor.initial_memory())[0]

    def gain(self, theta: Vector) -> Float[Array, ""]:
        r"""$E[(\rho - 1) A]$: by how much the surrogate $E[\rho A]$ exceeds its value at old."""
        new, action = self.distribution(theta), self.samples.action
        log_ratio = new.log_prob(action) - self.old.log_prob(action)
        return jnp.mean(jnp.expm1(log_ratio) * self.samples.advantage)

    def divergences(self, theta: Vector) -> Float[Array, " batch"]:
        """KL(old ‖ new) in every state of the batch, in nats."""
        return self.old.kl_divergence(self.distribution(theta))


def policy_problem(actor: EntropicPolicy, samples: Judged) -> PolicyProblem:
    """The problem of improving `actor` on one batch."""
    params, frozen = eqx.partition(actor, eqx.is_inexact_array)
    theta, unravel = ravel_pytree(params)
    old, _ = actor(samples.observation, actor.initial_memory())
    return PolicyProblem(theta, frozen, unravel, old, samples)


class NaturalDirection(NamedTuple):
    """`direction`: x. `slope`: gᵀx. `curvatures`: xᵀF_s x in every state. `residual`: of x."""

    direction: Vector
    slope: Float[Array, ""]
    curvatures: Float[Array, " batch"]
    residual: Float[Array, ""]


def natural_direction(
    problem: PolicyProblem, *, iterations: int, damping: Scalar
) -> NaturalDirection:
    r"""$x \approx (F + \lambda I)^{-1} g$, with $g$ the gradient of the surrogate at old."""
    gradient = jax.grad(problem.gain)(problem.theta)
    metric = fisher(problem.distribution, problem.theta)
    damped = lambda vector: metric.product(vector) + damping * vector
    x, residual = conjugate_gradient(damped, gradient, iterations=iterations)
    return NaturalDirection(x, gradient @ x, metric.curvatures(x), residual)


def fit_critic(
    critic: Learner[StateValue],
    optimiser: optax.GradientTransformation,
    samples: Judged,
    *,
    num_epochs: int,
    num_minibatches: int,
    key: PRNGKeyArray,
) -> tuple[Learner[StateValue], Float[Array, ""]]:
    """Descend on ½(V − G)² over shuffled minibatches; their mean error is returned too."""

    def loss(model: StateValue, batch: Judged):
        error = squared_error(model(batch.observation), batch.value_target).mean()
        return error, error

    def step(critic, rows):
        # A minibatch of every row needs no order; to shuffle and gather was 6 % of TRPO's time.
        whole = num_minibatches == 1
        batch = samples if whole else jax.tree.map(lambda x: x[rows], samples)
        return descend(loss, critic, optimiser, batch)

    size = samples.value.size
    rows = shuffled_rows(key, size=size, num_epochs=num_epochs, num_minibatches=num_minibatches)
    fitted, errors = filter_scan(step, critic, rows)
    return fitted, jnp.mean(errors)
