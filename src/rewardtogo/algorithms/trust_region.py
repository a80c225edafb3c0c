"""What the natural policy gradient and TRPO share: a rollout as it is judged, and its direction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .._scan import filter_scan
from ..estimators.normalise import standardise
from ..estimators.returns import generalised_advantage
from ..losses.value import squared_error
from ..nn.distributions import AbstractEntropicDistribution
from ..nn.policies import EntropicPolicy
from ..nn.values import StateValue
from ..optim.trainable import Trainable, descend
from ..optim.trust_region import Vector, conjugate_gradient, fisher
from ..types import Scalar, Transition
from .minibatches import shuffled_rows


class TrustRegionState(eqx.Module):
    """The policy has no optimiser: each of its steps is computed afresh."""

    actor: EntropicPolicy
    critic: Trainable[StateValue]


class JudgedRollout(eqx.Module):
    """A rollout without its axes of time and environment, and what the critic says of it."""

    observation: Any
    action: Shaped[Array, "..."]
    value: Float[Array, " batch"]
    value_target: Float[Array, " batch"]
    advantage: Float[Array, " batch"]


def judge(
    critic: StateValue,
    rollout: Transition,
    *,
    discount: Scalar,
    trace_decay: Scalar,
    normalise_advantage: bool,
) -> JudgedRollout:
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
    return JudgedRollout(*jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), judged))


class PolicyProblem(eqx.Module):
    """What a change of the policy's parameters gains on a batch, and how far it goes.

    The old policy is a constant; its parameters are `theta`.
    """

    theta: Vector
    frozen: EntropicPolicy
    unravel: Callable[[Vector], EntropicPolicy]
    old: AbstractEntropicDistribution
    samples: JudgedRollout

    def actor(self, theta: Vector) -> EntropicPolicy:
        """The policy with these parameters."""
        return eqx.combine(self.unravel(theta), self.frozen)

    def distribution(self, theta: Vector) -> AbstractEntropicDistribution:
        """Its distributions in the states of the batch."""
        actor = self.actor(theta)
        return actor(self.samples.observation, actor.initial_carry())[0]

    def gain(self, theta: Vector) -> Float[Array, ""]:
        r"""$E[(\rho - 1) A]$: by how much the surrogate $E[\rho A]$ exceeds its value at old."""
        new, action = self.distribution(theta), self.samples.action
        log_ratio = new.log_prob(action) - self.old.log_prob(action)
        return jnp.mean(jnp.expm1(log_ratio) * self.samples.advantage)

    def divergences(self, theta: Vector) -> Float[Array, " batch"]:
        """KL(old ‖ new) in every state of the batch, in nats."""
        return self.old.kl_divergence(self.distribution(theta))


def policy_problem(actor: EntropicPolicy, samples: JudgedRollout) -> PolicyProblem:
    """The problem of improving `actor` on one batch."""
    params, frozen = eqx.partition(actor, eqx.is_inexact_array)
    theta, unravel = ravel_pytree(params)
    old, _ = actor(samples.observation, actor.initial_carry())
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
    critic: Trainable[StateValue],
    optimiser: optax.GradientTransformation,
    samples: JudgedRollout,
    *,
    num_epochs: int,
    num_minibatches: int,
    key: PRNGKeyArray,
) -> tuple[Trainable[StateValue], Float[Array, ""]]:
    """Descend on ½(V − G)² over shuffled minibatches; their mean error is returned too."""

    def loss(model: StateValue, batch: JudgedRollout):
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
