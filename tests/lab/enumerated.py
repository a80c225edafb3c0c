"""A three-state problem, and the moments of every estimator over all pairs of its trajectories."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from rewardtogo.lab.comparison.context import Setting, make_context
from rewardtogo.lab.comparison.sampling import episodes_of
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories
from rewardtogo.tabular.mdp import tabular_mdp


HORIZON, STATES, ACTIONS = 3, 3, 2


class Enumerated:
    """Batches of two trajectories, so that each has another: all pairs with their probability."""

    def __init__(self, discount):
        draw = np.random.default_rng(5)
        transition = draw.dirichlet(np.ones(STATES), (STATES, ACTIONS))
        rewards = draw.normal(size=(STATES, ACTIONS, STATES))
        terminal = np.array([False, False, True])
        self.mdp = tabular_mdp(
            transition, rewards, [0.7, 0.3, 0.0], discount=discount, terminal=terminal
        )
        self.theta = draw.normal(size=(STATES, ACTIONS))
        behaviour = jax.nn.softmax(self.theta + 0.5 * draw.normal(size=(STATES, ACTIONS)))
        self.setting = Setting(
            mdp=self.mdp,
            policy=jax.nn.softmax,
            theta=self.theta,
            behaviour=np.asarray(behaviour),
            value_error=draw.normal(size=STATES),
            horizon=HORIZON,
            batch=2,
            n=2,
            clip=0.1,
        )
        self.context = make_context(self.setting)
        self.paths = enumerate_trajectories(self.mdp, horizon=HORIZON)
        policy = jax.nn.softmax(jnp.asarray(self.theta))
        self.target = self.probability(policy)
        self.behaviour = self.probability(behaviour)
        scores = np.eye(ACTIONS) - np.asarray(policy)[:, None, :]
        score = np.einsum("saj,su->sauj", scores, np.eye(STATES)).reshape(STATES, ACTIONS, -1)
        self.score = score[self.paths.state, self.paths.action] * self.paths.mask[..., None]
        self.gradient = np.asarray(jax.grad(self.expected_return)(jnp.asarray(self.theta))).ravel()

    def probability(self, policy):
        taken = policy[self.paths.state, self.paths.action]
        return self.paths.dynamics * jnp.prod(jnp.where(self.paths.mask, taken, 1), axis=0)

    def expected_return(self, theta):
        powers = self.mdp.discount ** np.arange(HORIZON)
        return self.probability(jax.nn.softmax(theta)) @ (powers @ self.paths.reward)

    def moments(self, estimator):
        """Of the estimate of a batch of two: mean, trace of the covariance, and mass.

        The mass is E[w_t; s_t = s, a_t = a], `[time, state, action]`.
        """
        paths = self.paths
        count = paths.dynamics.size
        pair = np.indices((count, count)).reshape(2, -1).T
        state, action, reward, after = (
            x[:, pair] for x in (paths.state, paths.action, paths.reward, paths.next_state)
        )
        batch = episodes_of(state, action, reward, after, self.mdp.terminal)
        context = jax.tree.map(jnp.asarray, self.context)
        weigh = jax.vmap(estimator.weights, in_axes=(1, None), out_axes=1)
        weights = np.asarray(jax.jit(weigh)(batch, context))
        estimate = np.einsum("tni,tnip->np", weights, self.score[:, pair]) / 2
        if estimator.by_parameter is not None:
            powers = self.mdp.discount ** np.arange(HORIZON)
            scores = np.einsum("t,tnip->np", powers, self.score[:, pair]) / 2
            estimate = estimate - np.asarray(estimator.by_parameter(context)) * scores
        single = np.asarray(self.behaviour if estimator.off_policy else self.target)
        chance = single[pair].prod(axis=1)
        mean = chance @ estimate
        place = (np.arange(HORIZON)[:, None, None] * STATES + state) * ACTIONS + action
        share = weights * paths.mask[:, pair] * chance[None, :, None] / 2
        mass = np.bincount(place.ravel(), share.ravel(), HORIZON * STATES * ACTIONS)
        trace = chance @ np.sum((estimate - mean) ** 2, axis=1)
        return mean, trace, mass.reshape(HORIZON, STATES, ACTIONS)


@functools.cache
def enumerated(discount):
    with jax.enable_x64(True):
        return Enumerated(discount)


@functools.cache
def moments(discount, estimator):
    with jax.enable_x64(True):
        return enumerated(discount).moments(estimator)


@functools.cache
def compared(trajectories=60_000):
    """The lab's own answer, from samples."""
    from rewardtogo.lab.comparison.run import compare

    return compare(enumerated(0.9).setting, trajectories=trajectories, key=jr.key(11))
