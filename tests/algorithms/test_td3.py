import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import CONTINUOUS, networks, random_batch
from rewardtogo.algorithms.deterministic import DeterministicActorCritic
from rewardtogo.algorithms.td3 import TD3
from rewardtogo.envs.probes import ContinuousTarget
from rewardtogo.envs.wrappers import ScaledActions
from rewardtogo.nn.deterministic import deterministic_actor
from rewardtogo.recipes import TD3Recipe
from rewardtogo.sources.task import JaxTask
from rewardtogo.training.train import build_program, train


BATCH, DELAY = 10, 3


@pytest.fixture(scope="module")
def x64():
    """For the whole module, whose tests share one compiled update."""
    with jax.enable_x64(True):
        yield


def models(seed):
    nets, (one, two) = networks(CONTINUOUS), jr.split(jr.key(seed))
    return DeterministicActorCritic(deterministic_actor(nets, one), nets.twin_values(two))


@pytest.fixture(scope="module")
def problem(x64):
    """A state whose slow copies are not the networks, and a batch."""
    algorithm = TD3(
        discount=0.9, learning_rate=0.01, polyak_rate=0.2, target_noise=0.4, policy_delay=DELAY
    )
    state = algorithm.init(models(1))
    state = dataclasses.replace(
        state, networks=dataclasses.replace(state.networks, target=models(2))
    )
    return algorithm, state, random_batch((BATCH,), CONTINUOUS)


@pytest.fixture(scope="module")
def history(problem):
    """The problem, then states and metrics before and after each of 2 × DELAY updates."""
    algorithm, state, batch = problem
    update = jax.jit(lambda state, key: algorithm.update(state, batch, key=key))
    states, metrics = [state], []
    for number in range(2 * DELAY):
        state, found = update(states[-1], jr.key(number))
        states, metrics = [*states, state], [*metrics, found]
    return problem, states, metrics


def test_targets_by_hand(problem):
    """The lesser slow critic at the slow actor's action with clipped noise."""
    algorithm, state, batch = problem
    networks, key = state.networks, jr.key(7)
    mode = np.asarray(networks.target.actor(batch.next_observation, ())[0].mode())
    noise = 0.4 * np.asarray(jr.normal(key, mode.shape, jnp.float64))
    assert np.abs(noise).max() > 0.5 > np.abs(noise).min()
    action = np.clip(mode + np.clip(noise, -0.5, 0.5), -1, 1)
    one, two = np.asarray(networks.target.critic(batch.next_observation, jnp.asarray(action)))
    assert np.any(one < two) and np.any(two < one)
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    value = np.minimum(one, two)
    expected = [
        batch.reward[i] + (0 if batch.terminated[i] else 0.9 * value[i]) for i in range(BATCH)
    ]
    ours = algorithm.targets(networks, batch, key=key)
    assert np.allclose(ours, expected, rtol=1e-10)


def gradient_from(after, before):
    """From Adam's first moments, m' = 0.9 m + 0.1 g."""
    moments = (optax.tree.get(trainable.opt_state, "mu") for trainable in (after, before))
    return jax.tree.map(lambda m, old: (m - 0.9 * old) / 0.1, *moments)


def assert_gradient(found, objective, model):
    """That of a formula by automatic differentiation, and its slope by finite differences."""
    expected = jax.jit(jax.grad(objective))(model)
    for g, e in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.allclose(g, e, rtol=1e-8, atol=1e-12)
    moved = lambda sign: jax.tree.map(lambda x, g: x + sign * 1e-6 * g, model, expected)
    slope = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(expected))
    rise = (objective(moved(1)) - objective(moved(-1))) / 2e-6
    assert slope > 0 and np.allclose(rise, slope, rtol=1e-5)


def test_both_critics_step_at_every_update(history):
    (algorithm, _, batch), states, metrics = history
    for number in (0, DELAY - 1):
        before, after = states[number].networks, states[number + 1].networks
        target = algorithm.targets(before, batch, key=jr.key(number))

        def objective(critic, target=target):
            one, two = critic(batch.observation, batch.action)
            return jnp.mean((one - target) ** 2 / 2) + jnp.mean((two - target) ** 2 / 2)

        found = gradient_from(after.critic, before.critic)
        assert_gradient(found, objective, before.critic.model)
        assert np.allclose(
            metrics[number]["train/critic_loss"], objective(before.critic.model), rtol=1e-10
        )
        q = before.critic.model(batch.observation, batch.action)
        assert np.allclose(metrics[number]["train/q_value"], q.mean())


def test_the_actor_climbs_the_first_of_the_new_critics(history):
    (_, _, batch), states, metrics = history
    before, after = states[DELAY - 1].networks, states[DELAY].networks

    def objective(actor):
        action = actor(batch.observation, ())[0].mode()
        return -jnp.mean(after.critic.model(batch.observation, action)[0])

    found = gradient_from(after.actor, before.actor)
    assert_gradient(found, objective, before.actor.model)
    loss = objective(before.actor.model)
    assert np.allclose(metrics[DELAY - 1]["train/actor_loss"], loss, rtol=1e-10)
    # It is told again until there is another.
    assert np.allclose(metrics[DELAY]["train/actor_loss"], loss, rtol=1e-10)


def same(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_actor_and_slow_copies_wait(history):
    """They move at updates DELAY and 2 × DELAY, and nothing of them, nor of Adam's, between."""
    _, states, _ = history
    for number in range(2 * DELAY):
        before, after = states[number].networks, states[number + 1].networks
        moves = (number + 1) % DELAY == 0
        assert same(before.actor, after.actor) != moves
        assert same(before.target, after.target) != moves
        assert not same(before.critic, after.critic)
    count = optax.tree.get(states[-1].networks.actor.opt_state, "count")
    assert count == 2 and states[-1].updates == 2 * DELAY


def test_both_slow_copies_follow(history):
    _, states, _ = history
    before, after = states[DELAY - 1].networks, states[DELAY].networks
    leaves = map(jax.tree.leaves, (before.target, after.online, after.target))
    for slow, fast, new in zip(*leaves, strict=True):
        assert np.allclose(new, 0.8 * slow + 0.2 * fast, rtol=1e-12)


def test_the_slow_copies_begin_as_the_networks(x64):
    begun = models(1)
    state = TD3().init(begun)
    assert same(state.networks.target, begun) and same(state.networks.online, begun)


def test_noise_is_for_gathering_only(problem):
    algorithm, state, batch = problem
    mode = algorithm.policy(state)(batch.observation, ())[0].mode()
    quiet = dataclasses.replace(algorithm, exploration_noise=0.0).behaviour(state)
    loud = dataclasses.replace(algorithm, exploration_noise=0.5).behaviour(state)
    assert np.array_equal(quiet.act(batch.observation, (), key=jr.key(7))[0], mode)
    assert not np.allclose(loud.act(batch.observation, (), key=jr.key(7))[0], mode, atol=0.1)


OUT_OF_RANGE = [
    ("discount", -0.5, r"`discount` must lie in \[0, 1\]; got -0.5"),
    ("learning_rate", 0.0, r"`learning_rate` must lie in \(0, inf\); got 0.0"),
    ("polyak_rate", 0.0, r"`polyak_rate` must lie in \(0, 1\]; got 0.0"),
    ("exploration_noise", -0.1, r"`exploration_noise` must lie in \[0, inf\); got -0.1"),
    ("target_noise", -0.1, r"`target_noise` must lie in \[0, inf\); got -0.1"),
    ("target_noise_clip", float("inf"), r"`target_noise_clip` must lie in \[0, inf\); got inf"),
    ("policy_delay", 0, "`policy_delay` must be a whole number, at least 1; got 0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        TD3(**{name: value})


def test_the_target_is_answered():
    """Half of what is seen, within a tenth: the whole of training, in miniature."""
    recipe = TD3Recipe(
        algorithm=TD3(learning_rate=1e-2),
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
    report = list(train(program, total_steps=1500, report_every=500))[-1]
    state = jax.tree.map(lambda x: x[0], report.state.learner)
    seen = jnp.linspace(-0.9, 0.9, 7)[:, None]
    assert np.allclose(algorithm.policy(state)(seen, ())[0].mode(), seen / 2, atol=0.1)
    # An answer with noise of deviation 0.1 earns −0.01 on average.
    assert report.metrics["rollout/ep_rew_mean"] > -0.03
