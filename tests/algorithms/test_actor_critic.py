"""The one-step actor–critic against the book's pseudocode in NumPy, and the exact gradient."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.algorithms.actor_critic import OneStepActorCritic
from rewardtogo.envs.tabular import TabularEnvironment
from rewardtogo.envs.wrappers import TimeLimit
from rewardtogo.lab.theorems.enumeration import enumerate_trajectories, probabilities
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.nn.encoders import Encoder
from rewardtogo.nn.mlp import MLP, Linear
from rewardtogo.nn.policies import CategoricalPolicy
from rewardtogo.nn.values import StateValue
from rewardtogo.optim.step_rule import StepRule
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.tabular.exact.evaluation import state_values
from rewardtogo.tabular.exact.gradient import gradient_by_autodiff
from rewardtogo.tabular.mdp import tabular_mdp
from rewardtogo.types import Transition


STATES, ACTIONS, DISCOUNT, LIMIT, STEPS = 4, 2, 0.8, 5, 90
RATES = {"learning_rate": 0.2, "critic_learning_rate": 0.3}


def models(theta, value):
    """Tables: a softmax of θ[s] and V[s], with a bias each, as networks have them."""
    encode = Encoder((), STATES, jnp.float64)
    actor = MLP((Linear(jnp.asarray(theta), jnp.zeros(ACTIONS)),), jnp.tanh)
    critic = MLP((Linear(jnp.asarray(value)[:, None], jnp.zeros(1)),), jnp.tanh)
    return ActorCritic(CategoricalPolicy(encode, actor), StateValue(encode, critic))


def tables(state):
    """θ and its bias, V and its bias."""
    (actor,), (critic,) = state.actor.model.logits.layers, state.critic.model.value.layers
    return actor.weight, actor.bias, critic.weight[:, 0], critic.bias[0]


DRAW = np.random.default_rng(2)
THETA, VALUE = DRAW.normal(size=(STATES, ACTIONS)), DRAW.normal(size=STATES)


def process():
    """Ends in the last state now and then; else the limit on time cuts."""
    transition = DRAW.dirichlet([3.0, 3.0, 3.0, 1.0], (STATES, ACTIONS))
    reward = DRAW.normal(size=(STATES, ACTIONS, STATES))
    terminal = np.arange(STATES) == STATES - 1
    start = np.array([0.5, 0.3, 0.2, 0.0])
    return tabular_mdp(transition, reward, start, discount=DISCOUNT, terminal=terminal)


def trained(algorithm, num_envs):
    """The state after so many single steps, and the steps."""
    source = Rollout(TimeLimit(TabularEnvironment(process()), LIMIT), num_envs, 1)
    state = algorithm.init(models(THETA, VALUE))
    gatherer = source.init(algorithm.behaviour(state), key=jr.key(1))

    def one(carry, key):
        state, gatherer = carry
        gatherer, batch = source.gather(gatherer, algorithm.behaviour(state), key=key)
        state, _ = algorithm.update(state, batch, key=key)
        return (state, gatherer), batch

    step, batches = jax.jit(lambda carry, key: one(carry, key)), []
    for key in jr.split(jr.key(3), STEPS):
        (state, gatherer), batch = step((state, gatherer), key)
        batches.append(batch)
    return state, jax.tree.map(lambda *xs: np.concatenate(xs), *batches)


def by_the_book(steps, algorithm):
    """Sutton and Barto (2018), page 332, for the mean over environments; entropy by hand."""
    theta, bias, value, offset = THETA.copy(), np.zeros(ACTIONS), VALUE.copy(), 0.0
    time, num_envs = steps.reward.shape
    power = np.ones(num_envs)
    for t in range(time):
        changes = [np.zeros_like(x) for x in (theta, bias, value)] + [0.0]
        for i in range(num_envs):
            s, a = steps.observation[t, i], steps.action[t, i]
            after = steps.next_observation[t, i]
            chances = np.exp(theta[s] + bias) / np.exp(theta[s] + bias).sum()
            entropy = -(chances * np.log(chances)).sum()
            bootstrap = 0.0 if steps.terminated[t, i] else value[after] + offset
            delta = steps.reward[t, i] + DISCOUNT * bootstrap - value[s] - offset
            score = np.eye(ACTIONS)[a] - chances
            gain = power[i] * delta * score
            gain = gain - algorithm.entropy_coef * chances * (np.log(chances) + entropy)
            changes[0][s] += algorithm.learning_rate * gain / num_envs
            changes[1] += algorithm.learning_rate * gain / num_envs
            changes[2][s] += algorithm.critic_learning_rate * delta / num_envs
            changes[3] += algorithm.critic_learning_rate * delta / num_envs
            over = steps.terminated[t, i] or steps.truncated[t, i]
            power[i] = 1.0 if over else power[i] * (DISCOUNT if algorithm.discount_scores else 1)
        theta, bias = theta + changes[0], bias + changes[1]
        value, offset = value + changes[2], offset + changes[3]
    return theta, bias, value, offset


@pytest.mark.parametrize(
    ("num_envs", "options"),
    [(1, {}), (3, {"entropy_coef": 0.3}), (3, {"discount_scores": False})],
    ids=["book", "several", "practice"],
)
def test_every_step_is_that_of_the_book(num_envs, options, x64):
    """Through ends and cuts: I is 1 after both, and a cut bootstraps."""
    algorithm = OneStepActorCritic(
        discount=DISCOUNT, step_rule=StepRule.SGD, **RATES | {"entropy_coef": 0.0} | options
    )
    state, steps = trained(algorithm, num_envs)
    assert steps.terminated.any() and (steps.truncated & ~steps.terminated).any()
    ours, expected = tables(state), by_the_book(steps, algorithm)
    for x, y in zip(ours, expected, strict=True):
        assert np.allclose(x, y, rtol=1e-12, atol=1e-12)
    assert not np.allclose(ours[0], THETA, atol=0.1)


def test_with_exact_values_an_episode_s_steps_have_the_mean_of_the_exact_gradient(x64):
    """Σ over all episodes of probability × Σ_t I δ ∇log π; a process that always ends."""
    onward = np.triu(DRAW.random((ACTIONS, STATES, STATES)), k=1).swapaxes(0, 1)
    onward[-1, :, -1] = 1.0
    onward = onward / onward.sum(axis=-1, keepdims=True)
    mdp = tabular_mdp(
        onward,
        DRAW.normal(size=onward.shape),
        np.array([0.6, 0.3, 0.1, 0.0]),
        discount=DISCOUNT,
        terminal=np.arange(STATES) == STATES - 1,
    )
    policy = jax.nn.softmax(jnp.asarray(THETA))
    paths = enumerate_trajectories(mdp, horizon=STATES - 1)
    chance = probabilities(paths, policy)
    time = np.arange(STATES - 1)[:, None] + np.zeros(paths.state.shape, int)
    ends = np.asarray(mdp.terminal)[paths.next_state]
    algorithm = OneStepActorCritic(discount=DISCOUNT, step_rule=StepRule.SGD, learning_rate=1.0)
    start = algorithm.init(models(THETA, np.asarray(state_values(mdp, policy))))
    power = DISCOUNT**time

    def change(*row):
        batch = jax.tree.map(lambda x: x[None, None], Transition(*row))
        after, _ = algorithm.update(start, batch, key=jr.key(0))
        return tables(after)[0] - THETA

    rows = (paths.state, paths.action, paths.reward, paths.next_state, ends, ~ends & False, power)
    changes = jax.jit(jax.vmap(jax.vmap(change)))(*(jnp.asarray(x) for x in rows))
    mean = np.einsum("n,tn,tnsa->sa", chance, paths.mask, changes)
    exact = gradient_by_autodiff(mdp, jax.nn.softmax, jnp.asarray(THETA))
    assert np.allclose(mean, exact, rtol=1e-10, atol=1e-12)


OUT_OF_RANGE = [
    ("discount", 1.01, r"`discount` must lie in \[0, 1\]; got 1.01"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("critic_learning_rate", -1.0, r"`critic_learning_rate` must lie in \(0, inf\); got -1.0"),
    ("entropy_coef", -0.1, r"`entropy_coef` must lie in \[0, inf\); got -0.1"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        OneStepActorCritic(**{name: value})
