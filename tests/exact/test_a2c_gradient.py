"""G5: the mean of A2C's gradient over every rollout, against exact advantages."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.a2c import A2C, ReturnTarget
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories, probabilities
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import MLP, Linear
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.nn.values import StateValue
from rewardtogo.tabular.exact.evaluation import action_values, expected_return, state_values
from rewardtogo.tabular.exact.occupancy import occupancy, state_distributions
from rewardtogo.tabular.problems.garnet import garnet
from rewardtogo.types import Transition


STATES, ACTIONS, DISCOUNT = 3, 2, 0.8


class Problem:
    """Every rollout of `time` steps in a process without an end, as one batch with its chances."""

    def __init__(self, time):
        self.time = time
        self.mdp = garnet(num_states=STATES, num_actions=ACTIONS, discount=DISCOUNT, key=jr.key(3))
        self.theta = jr.normal(jr.key(4), (STATES, ACTIONS), jnp.float64)
        self.policy = jax.nn.softmax(self.theta)
        self.start_from(np.asarray(self.mdp.initial))

    def start_from(self, initial):
        """Begin the rollouts there."""
        self.mdp = dataclasses.replace(self.mdp, initial=initial)
        paths = enumerate_trajectories(self.mdp, horizon=self.time)
        self.chance = jnp.asarray(probabilities(paths, self.policy))
        never = np.zeros(paths.state.shape, bool)
        rows = (paths.state, paths.action, paths.reward, paths.next_state, never, never)
        self.batch = jax.tree.map(jnp.asarray, Transition(*rows))

    def mean_gradient(self, algorithm, value):
        """Of minus the policy loss, times the steps that the loss is a mean over."""
        critic = StateValue(self.encoder, MLP((Linear(value[:, None], jnp.zeros(1)),), jnp.tanh))
        advantage = algorithm.targets(critic, self.batch) - critic(self.batch.observation)
        # A mean over rollouts of equal weight: weigh each by its chance instead.
        weight = advantage * self.chance[None] * self.chance.size

        def loss(theta):
            network = MLP((Linear(theta, jnp.zeros(ACTIONS)),), jnp.tanh)
            return algorithm.actor_loss(
                CategoricalPolicy(self.encoder, network), self.batch, weight
            )[0]

        return -self.time * jax.grad(loss)(self.theta)

    @property
    def encoder(self):
        return Encoder((), STATES, jnp.float64)

    def exact(self, advantage):
        """Σ_t Σ_s d_t(s) Σ_a ∇π(a|s) A(s, a)."""
        visits = state_distributions(self.mdp, self.policy, horizon=self.time).sum(axis=0)
        pull_back = jax.vjp(jax.nn.softmax, self.theta)[1]
        return pull_back(jnp.asarray(visits)[:, None] * advantage)[0]


@pytest.fixture(params=ReturnTarget, ids=lambda target: target.value)
def algorithm(request):
    return A2C(discount=DISCOUNT, target=request.param, n=2, trace_decay=0.6)


def close(ours, expected):
    return np.allclose(ours, expected, rtol=1e-10, atol=1e-12)


def test_every_target_of_exact_values_gives_the_exact_gradient(algorithm, x64):
    problem = Problem(3)
    value = jnp.asarray(state_values(problem.mdp, problem.policy))
    q = jnp.asarray(action_values(problem.mdp, problem.policy))
    ours = problem.mean_gradient(algorithm, value)
    assert close(ours, problem.exact(q - value[:, None]))


def test_from_the_discounted_occupancy_it_is_the_gradient_of_the_return(algorithm, x64):
    """Rollouts of one step that begin as d_γ: (1 − γ)∇J."""
    problem = Problem(1)
    expected = jax.grad(lambda theta: expected_return(problem.mdp, jax.nn.softmax(theta)))
    expected = (1 - DISCOUNT) * expected(problem.theta)
    value = jnp.asarray(state_values(problem.mdp, problem.policy))
    visits = np.asarray(occupancy(problem.mdp, problem.policy))
    problem.start_from(visits / visits.sum())
    assert close(problem.mean_gradient(algorithm, value), expected)


def test_wrong_values_bias_what_bootstraps(x64):
    """One step: Q is r + γ P V with the wrong V. Any baseline goes, a wrong bootstrap does not."""
    problem = Problem(3)
    value = jnp.asarray(np.random.default_rng(0).normal(size=STATES))
    mdp = problem.mdp
    q = mdp.reward + DISCOUNT * np.asarray(mdp.transition) @ np.asarray(value)
    algorithm = A2C(discount=DISCOUNT, target=ReturnTarget.ONE_STEP)
    ours = problem.mean_gradient(algorithm, value)
    assert close(ours, problem.exact(jnp.asarray(q)))
    truth = problem.exact(jnp.asarray(action_values(problem.mdp, problem.policy)))
    assert not np.allclose(ours, truth, rtol=1e-2)
