"""Deterministic policy gradient with a compatible linear critic. Silver et al. (2014)."""

import enum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .. import validate
from ..estimators.least_squares import least_squares_td
from ..losses.deterministic import actor_loss
from ..losses.q_learning import bellman_target
from ..nn.deterministic import Noisy, PointMass
from ..nn.encoders import AbstractEncoder
from ..nn.policies import AbstractPolicy
from ..optim.trainable import Trainable, descend, trainable
from ..types import Metrics, Scalar, Transition
from .deterministic import chosen
from .protocol import AbstractAlgorithm


Policy = AbstractPolicy[PointMass]


class NextAction(enum.Enum):
    """Whose value in the successor a step's value is made from."""

    POLICY = "policy"
    TAKEN = "taken"


class CompatibleValue(eqx.Module):
    r"""$Q_w(s, a) = (a - \mu_\theta(s))^\top \nabla_\theta\mu_\theta(s)^\top w + v^\top \phi(s)$.

    Silver et al. (2014), section 4.3. Its slope in the action is the same for all actions.
    """

    policy: Policy
    direction: Policy  # w: one number for each of θ, None elsewhere
    features: AbstractEncoder
    weight: Float[Array, " features"]

    def __call__(
        self, observation: Any, action: Float[Array, "*batch action"]
    ) -> Float[Array, "*batch"]:
        away = action - chosen(self.policy, observation)
        return jnp.sum(away * self.slope(observation), axis=-1) + self.state_value(observation)

    def slope(self, observation: Any) -> Float[Array, "*batch action"]:
        r"""$\nabla_a Q_w(s, a) = \nabla_\theta\mu_\theta(s)^\top w$."""
        params, frozen = eqx.partition(self.policy, eqx.is_inexact_array)
        at = lambda params: chosen(eqx.combine(params, frozen), observation)
        return jax.jvp(at, (params,), (self.direction,))[1]

    def state_value(self, observation: Any) -> Float[Array, "*batch"]:
        r"""$V_v(s) = v^\top\phi(s)$, which is $Q_w(s, \mu_\theta(s))$."""
        return self.features(observation) @ self.weight


class DPGModels(eqx.Module):
    """A deterministic policy, and the features φ of the state's value."""

    actor: Policy
    features: AbstractEncoder


class DPGState(eqx.Module):
    """The critic is fitted afresh to every batch."""

    actor: Trainable[Policy]
    features: AbstractEncoder


class DPG(AbstractAlgorithm[DPGModels, DPGState, Transition]):
    r"""On each rollout, fit $w$ and $v$ of `CompatibleValue`, then climb:

    $$\theta \leftarrow \theta + \alpha\, E\bigl[\nabla_\theta\mu_\theta(s)\,
    \nabla_\theta\mu_\theta(s)^\top w\bigr], \qquad E[\delta\,\nabla_{w,v}Q_w(s, a)] = 0, \qquad
    \delta = r + \gamma\,Q_w(s', a') - Q_w(s, a)$$

    Silver et al. (2014), sections 4.1–4.3: with $a' = \mu_\theta(s')$ it is off-policy, COPDAC-Q;
    with the $a'$ that was taken on-policy, Sarsa. Their steps in w and
    v are not taken one by one: the system that these come to rest at is solved. Where no $a'$ was
    taken, at an episode's cut and the rollout's end, its mean over the noise is used, $V_v(s')$.
    """

    discount: Scalar = 0.99
    """γ, weight of the next step's reward against this one's."""
    next_action: NextAction = NextAction.POLICY
    """Whose value follows: the policy's own (off-policy), or the one taken (on-policy, Sarsa)."""
    learning_rate: Scalar = 0.01
    """α, step size of plain gradient ascent."""
    natural: bool = False
    """Step along w itself, the natural gradient, in place of E[∇μ ∇μᵀ] w."""
    max_grad_norm: Scalar = 1.0
    """Norm to which the direction of a step is scaled down."""
    ridge: Scalar = 1e-5
    """Added to the critic's equations, in units of each feature's mean square."""
    exploration_noise: Scalar = 0.1
    """Deviation of the noise on actions taken, in units of half the action range."""

    def __check_init__(self):
        validate.unit_interval("discount", self.discount)
        validate.positive("learning_rate", self.learning_rate)
        validate.positive("max_grad_norm", self.max_grad_norm)
        validate.positive("ridge", self.ridge)
        # Without noise nothing is known of actions that the policy does not take.
        validate.positive("exploration_noise", self.exploration_noise)

    def init(self, models: DPGModels) -> DPGState:
        return DPGState(trainable(models.actor, self.optimiser), models.features)

    def behaviour(self, state: DPGState) -> Noisy:
        return Noisy(state.actor.model, self.exploration_noise)

    def policy(self, state: DPGState) -> Policy:
        return state.actor.model

    def update(
        self, state: DPGState, batch: Transition, *, key: PRNGKeyArray
    ) -> tuple[DPGState, Metrics]:
        """Fit the critic, then take one step, on a rollout with leading axes `(time, env)`."""
        del key
        critic = self.critic(state, batch)
        error = self.targets(critic, batch) - critic(batch.observation, batch.action)
        actor, _ = descend(
            natural_loss if self.natural else gradient_loss,
            state.actor,
            self.optimiser,
            critic,
            batch.observation,
        )
        return DPGState(actor, state.features), {
            "train/td_error": jnp.sqrt(jnp.mean(error**2)),
            "train/slope": jnp.sqrt(jnp.mean(critic.slope(batch.observation) ** 2)),
            "train/value": jnp.mean(critic.state_value(batch.observation)),
        }

    def critic(self, state: DPGState, rollout: Transition) -> CompatibleValue:
        """The compatible critic of the policy, fitted to a rollout."""
        actor, size = state.actor.model, rollout.reward.size
        flat = lambda x: x.reshape(size, *x.shape[2:])
        now = flat(rollout.action - chosen(actor, rollout.observation))
        later = flat(self._next_away(actor, rollout))
        observation, successor, reward, terminated = jax.tree.map(
            flat,
            (rollout.observation, rollout.next_observation, rollout.reward, rollout.terminated),
        )
        solution = least_squares_td(
            _features(actor, state.features, observation, now),
            _features(actor, state.features, successor, later),
            reward,
            terminated,
            discount=self.discount,
            ridge=self.ridge,
        )
        theta, unravel = ravel_pytree(state.actor.params)
        w, v = solution[: theta.size], solution[theta.size :]
        return CompatibleValue(actor, unravel(w), state.features, v)

    def targets(self, critic: CompatibleValue, rollout: Transition) -> Float[Array, "time env"]:
        r"""$r + \gamma\,Q_w(s', a')$."""
        successor = rollout.next_observation
        action = chosen(critic.policy, successor) + self._next_away(critic.policy, rollout)
        return bellman_target(
            rollout.reward, critic(successor, action), rollout.terminated, discount=self.discount
        )

    def _next_away(self, actor: Policy, rollout: Transition) -> Float[Array, "time env action"]:
        r"""$a' - \mu_\theta(s')$."""
        chosen_there = chosen(actor, rollout.next_observation)
        match self.next_action:
            case NextAction.POLICY:
                return jnp.zeros_like(chosen_there)
            case NextAction.TAKEN:
                taken = jnp.concatenate([rollout.action[1:], chosen_there[-1:]])
                return jnp.where(rollout.boundary[..., None], 0, taken - chosen_there)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.max_grad_norm), optax.sgd(self.learning_rate)
        )


def gradient_loss(
    actor: Policy, critic: CompatibleValue, observation: Any
) -> tuple[Float[Array, ""], None]:
    r"""$-E[Q_w(s, \mu_\theta(s))]$ with $Q_w$ a constant: of slope $-E[\nabla\mu\nabla\mu^\top w]$.

    Silver et al. (2014), theorem 3.
    """
    return actor_loss(critic(observation, chosen(actor, observation))).mean(), None


def natural_loss(
    actor: Policy, critic: CompatibleValue, observation: Any
) -> tuple[Float[Array, ""], None]:
    r"""$-w^\top\theta$, of slope $-w$; the metric is $E[\nabla\mu\nabla\mu^\top]$.

    Silver et al. (2014), section 4.3, last paragraph.
    """
    del observation
    params = eqx.filter(actor, eqx.is_inexact_array)
    products = jax.tree.map(lambda w, theta: jnp.sum(w * theta), critic.direction, params)
    return -sum(jax.tree.leaves(products), start=jnp.zeros(())), None


def _features(
    actor: Policy,
    features: AbstractEncoder,
    observation: Any,
    away: Float[Array, "batch action"],
) -> Float[Array, "batch unknowns"]:
    r"""$\nabla_{w,v} Q_w$: $\nabla_\theta\mu_\theta(s)\,(a - \mu_\theta(s))$, then $\phi(s)$."""
    params, frozen = eqx.partition(actor, eqx.is_inexact_array)

    def compatible(observation: Any, away: Float[Array, " action"]) -> Float[Array, " params"]:
        at = lambda params: chosen(eqx.combine(params, frozen), observation)
        return ravel_pytree(jax.vjp(at, params)[1](away)[0])[0]

    return jnp.concatenate([jax.vmap(compatible)(observation, away), features(observation)], -1)
