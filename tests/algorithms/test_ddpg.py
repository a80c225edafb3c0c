import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import CONTINUOUS, networks, random_batch
from rewardtogo.algorithms.ddpg import DDPG
from rewardtogo.algorithms.deterministic import DeterministicActorCritic
from rewardtogo.envs.probes import ContinuousTarget
from rewardtogo.envs.wrappers import ScaledActions
from rewardtogo.nn.deterministic import action_value, deterministic_actor
from rewardtogo.recipes import DDPGRecipe
from rewardtogo.sources.task import JaxTask
from rewardtogo.training.train import build_program, train


BATCH, KEY = 10, jr.key(7)


@pytest.fixture(scope="module")
def x64():
    """For the whole module, whose tests share one compiled update."""
    with jax.enable_x64(True):
        yield


def models(seed):
    nets, (one, two) = networks(CONTINUOUS), jr.split(jr.key(seed))
    return DeterministicActorCritic(deterministic_actor(nets, one), action_value(nets, two))


@pytest.fixture(scope="module")
def problem(x64):
    """A state whose slow copies are not the networks, and a batch."""
    algorithm = DDPG(discount=0.9, learning_rate=0.01, polyak_rate=0.2)
    state = dataclasses.replace(algorithm.init(models(1)), target=models(2))
    return algorithm, state, random_batch((BATCH,), CONTINUOUS)


@pytest.fixture(scope="module")
def updated(problem):
    algorithm, state, batch = problem
    return problem, jax.jit(lambda state: algorithm.update(state, batch, key=KEY))(state)


def test_targets_by_hand(problem):
    """The slow critic at the slow actor's action, where the process goes on."""
    algorithm, state, batch = problem
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    action = state.target.actor(batch.next_observation, ())[0].mode()
    value = state.target.critic(batch.next_observation, action)
    expected = [
        batch.reward[i] + (0 if batch.terminated[i] else 0.9 * value[i]) for i in range(BATCH)
    ]
    assert np.allclose(algorithm.targets(state, batch), expected, rtol=1e-10)


def assert_gradient(trainable, objective, model):
    """Adam's first moment, ten times, is the gradient of a formula; and it is its slope."""
    expected = jax.jit(jax.grad(objective))(model)
    moment = optax.tree.get(trainable.opt_state, "mu")
    for m, e in zip(jax.tree.leaves(moment), jax.tree.leaves(expected), strict=True):
        assert np.allclose(m / 0.1, e, rtol=1e-8, atol=1e-12)
    moved = lambda sign: jax.tree.map(lambda x, g: x + sign * 1e-6 * g, model, expected)
    slope = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(expected))
    rise = (objective(moved(1)) - objective(moved(-1))) / 2e-6
    assert slope > 0 and np.allclose(rise, slope, rtol=1e-5)


def test_the_critic_steps_on_its_squared_error(updated):
    (algorithm, state, batch), (after, metrics) = updated
    target = algorithm.targets(state, batch)

    def objective(critic):
        return jnp.mean((critic(batch.observation, batch.action) - target) ** 2) / 2

    assert_gradient(after.critic, objective, state.critic.model)
    assert np.allclose(metrics["train/critic_loss"], objective(state.critic.model))
    q = state.critic.model(batch.observation, batch.action)
    assert np.allclose(metrics["train/q_value"], q.mean())


def test_the_actor_climbs_the_new_critic(updated):
    (_, state, batch), (after, metrics) = updated

    def objective(actor):
        action = actor(batch.observation, ())[0].mode()
        return -jnp.mean(after.critic.model(batch.observation, action))

    assert_gradient(after.actor, objective, state.actor.model)
    assert np.allclose(metrics["train/actor_loss"], objective(state.actor.model))


def test_both_slow_copies_follow(updated):
    (_, state, _), (after, _) = updated
    leaves = map(jax.tree.leaves, (state.target, after.online, after.target))
    for slow, fast, new in zip(*leaves, strict=True):
        assert np.allclose(new, 0.8 * slow + 0.2 * fast, rtol=1e-12)


def test_the_slow_copies_begin_as_the_networks(x64):
    begun = models(1)
    state = DDPG().init(begun)
    leaves = map(jax.tree.leaves, (state.target, state.online, begun))
    for a, b, c in zip(*leaves, strict=True):
        assert np.array_equal(a, b) and np.array_equal(a, c)


def test_noise_is_for_gathering_only(problem):
    algorithm, state, batch = problem
    mode = algorithm.policy(state)(batch.observation, ())[0].mode()
    quiet = dataclasses.replace(algorithm, exploration_noise=0.0).behaviour(state)
    loud = dataclasses.replace(algorithm, exploration_noise=0.5).behaviour(state)
    assert np.array_equal(quiet.act(batch.observation, (), key=KEY)[0], mode)
    assert not np.allclose(loud.act(batch.observation, (), key=KEY)[0], mode, atol=0.1)


OUT_OF_RANGE = [
    ("discount", -0.5, r"`discount` must lie in \[0, 1\]; got -0.5"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("polyak_rate", 1.5, r"`polyak_rate` must lie in \(0, 1\]; got 1.5"),
    ("exploration_noise", -0.1, r"`exploration_noise` must lie in \[0, inf\); got -0.1"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        DDPG(**{name: value})


def test_the_target_is_answered():
    """Half of what is seen, within a tenth: the whole of training, in miniature."""
    recipe = DDPGRecipe(
        algorithm=DDPG(learning_rate=1e-2),
        num_updates=2,
        batch_size=32,
        buffer_size=1000,
        learning_starts=100,
        hidden=(8,),
        activation="tanh",
    )
    task = JaxTask("Probe", ScaledActions(ContinuousTarget()), 1)
    loop, algorithm = recipe.build(task), recipe.algorithm
    program = build_program(loop, keys=jr.split(jr.key(0), 1))
    report = list(train(program, total_steps=900, report_every=300))[-1]
    state = jax.tree.map(lambda x: x[0], report.state.learner)
    seen = jnp.linspace(-0.9, 0.9, 7)[:, None]
    assert np.allclose(algorithm.policy(state)(seen, ())[0].mode(), seen / 2, atol=0.1)
    # An answer with noise of deviation 0.1 earns −0.01 on average.
    assert report.metrics["rollout/ep_rew_mean"] > -0.03
