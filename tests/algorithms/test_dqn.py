import dataclasses
import itertools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from algorithms.batches import DISCRETE, networks, random_batch
from rewardtogo.algorithms.dqn import DQN, DQNState, ValueLoss, exchanged
from rewardtogo.nn.build import Architecture
from rewardtogo.nn.exploration import Exploration
from rewardtogo.nn.values import MeanActionValues
from rewardtogo.types import Replayed


BATCH = 12


@pytest.fixture
def problem(x64):
    """An online and a target network that differ, and a batch."""
    nets = networks(DISCRETE)
    algorithm = DQN(discount=0.9)
    state = algorithm.init(nets.action_values(jr.key(1)))
    state = dataclasses.replace(state, target=nets.action_values(jr.key(2)))
    return algorithm, state, random_batch((BATCH,), DISCRETE)


def values(network, observation):
    return np.asarray(network(observation))


@pytest.mark.parametrize("double", [False, True])
def test_targets_by_hand(problem, double):
    """r + γ Q⁻(s', a*): after truncation as well, after termination r alone."""
    algorithm, state, batch = problem
    slow, online = (
        values(net, batch.next_observation) for net in (state.target, state.critic.model)
    )
    choosing = online if double else slow
    assert np.any(online.argmax(-1) != slow.argmax(-1))
    assert batch.terminated.any() and (batch.truncated & ~batch.terminated).any()
    expected = [
        batch.reward[i] + (0 if batch.terminated[i] else 0.9 * slow[i, np.argmax(choosing[i])])
        for i in range(BATCH)
    ]
    ours = dataclasses.replace(algorithm, double=double).targets(state, batch)
    assert np.allclose(ours, expected, rtol=1e-12)


def test_an_update_is_a_step_on_the_huber_loss(problem):
    """Adam's first moment is a tenth of the gradient of the loss written out; its metrics too."""
    algorithm, state, batch = problem
    algorithm = dataclasses.replace(algorithm, huber_delta=0.5)
    target = np.asarray(algorithm.targets(state, batch))

    def objective(critic):
        q = critic(batch.observation)[np.arange(BATCH), batch.action]
        error = jnp.abs(q - target)
        return jnp.mean(jnp.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25))), (q, error)

    gradient, (q, error) = jax.jit(jax.grad(objective, has_aux=True))(state.critic.model)
    assert np.any(error < 0.5) and np.any(error > 0.5)
    update = jax.jit(lambda state: algorithm.update(state, batch, key=jr.key(0)))
    after, metrics = update(state)
    assert np.allclose(metrics["train/loss"], objective(state.critic.model)[0])
    assert np.allclose(metrics["train/q_value"], q.mean())
    moment = optax.tree.get(after.critic.opt_state, "mu")
    for old, new, g, m in zip(
        *map(jax.tree.leaves, (state.critic.model, after.critic.model, gradient, moment)),
        strict=True,
    ):
        assert np.allclose(m, 0.1 * g, rtol=1e-9, atol=1e-15)
        assert np.allclose(new, old - 1e-3 * g / (jnp.abs(g) + 1e-8), rtol=1e-9)


def test_the_squared_loss_is_the_huber_loss_without_a_bend(problem):
    """½e² and its step, which a bend beyond every error gives too."""
    algorithm, state, batch = problem
    squared = dataclasses.replace(algorithm, loss=ValueLoss.SQUARED)
    after, metrics = squared.update(state, batch, key=jr.key(0))
    q = values(state.critic.model, batch.observation)[np.arange(BATCH), batch.action]
    error = q - np.asarray(algorithm.targets(state, batch))
    assert np.abs(error).max() > 1
    assert np.allclose(metrics["train/loss"], np.mean(error**2) / 2, rtol=1e-12)
    wide = dataclasses.replace(algorithm, huber_delta=100.0)
    same, _ = wide.update(state, batch, key=jr.key(0))
    for ours, theirs in zip(*map(jax.tree.leaves, (after, same)), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.fixture
def replayed(problem):
    """The problem with a discount and a weight of its own for each step."""
    algorithm, state, batch = problem
    discount = 0.9 ** jnp.array([1, 2, 3] * 4)
    weight = jnp.linspace(0.1, 1.0, BATCH)
    batch = dataclasses.replace(batch, record=Replayed(discount, weight))
    return dataclasses.replace(algorithm, huber_delta=0.5), state, batch


def test_targets_of_several_steps_by_hand(replayed):
    """R + γᵐ max Q⁻(s', ·), each with its own m."""
    algorithm, state, batch = replayed
    slow = values(state.target, batch.next_observation).max(-1)
    expected = batch.reward + np.where(batch.terminated, 0, batch.record.discount * slow)
    assert np.allclose(algorithm.targets(state, batch), expected, rtol=1e-12)


def test_weights_are_of_the_loss_and_not_of_the_error(replayed):
    """The gradient of Σ w huber(δ)/B; errors are Q(s, a) − y, without weight or clip."""
    algorithm, state, batch = replayed
    target, weight = np.asarray(algorithm.targets(state, batch)), batch.record.weight

    def objective(critic):
        q = critic(batch.observation)[np.arange(BATCH), batch.action]
        error = jnp.abs(q - target)
        loss = jnp.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25))
        return jnp.sum(weight * loss) / BATCH, q - target

    gradient, expected = jax.jit(jax.grad(objective, has_aux=True))(state.critic.model)
    update = jax.jit(lambda state: algorithm.update_with_errors(state, batch, key=jr.key(0)))
    after, metrics, error = update(state)
    assert np.any(abs(expected) > 0.5) and np.allclose(error, expected, rtol=1e-12)
    assert np.allclose(metrics["train/loss"], objective(state.critic.model)[0])
    moment = optax.tree.get(after.critic.opt_state, "mu")
    for g, m in zip(jax.tree.leaves(gradient), jax.tree.leaves(moment), strict=True):
        assert np.allclose(m, 0.1 * g, rtol=1e-9, atol=1e-15)


def test_annealing_ends_at_zero(problem):
    algorithm, state, batch = problem
    algorithm = dataclasses.replace(algorithm, anneal_updates=2)
    states = updated(algorithm, algorithm.init(state.critic.model), batch, 3)
    weights = [s.critic.model.values.layers[0].weight for s in states]
    moved = [float(jnp.abs(a - b).max()) for a, b in itertools.pairwise(weights)]
    assert moved[0] > 9e-4 and 4e-4 < moved[1] < 6e-4 and moved[2] < 1e-9


def updated(algorithm, state, batch, times):
    update = jax.jit(lambda state: algorithm.update(state, batch, key=jr.key(0))[0])
    states = [state]
    for _ in range(times):
        states.append(update(states[-1]))
    return states


def same(ours, theirs):
    return all(map(np.array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs)))


def test_hard_target_updates_come_every_so_many_updates(problem):
    """A copy to the bit after updates 3 and 6, and no change at any other."""
    algorithm, state, batch = problem
    states = updated(dataclasses.replace(algorithm, target_period=3), state, batch, 7)
    for number in range(1, 8):
        before, after = states[number - 1], states[number]
        assert int(after.updates) == number
        assert same(after.target, after.critic.model if number % 3 == 0 else before.target)


def test_soft_target_updates(problem):
    """θ' ← (1 − ρ)θ' + ρθ with the new θ, after every second update."""
    algorithm, state, batch = problem
    algorithm = dataclasses.replace(algorithm, target_period=2, polyak_rate=0.25)
    states = updated(algorithm, state, batch, 4)
    for number in range(1, 5):
        before, after = states[number - 1], states[number]
        rate = 0.25 if number % 2 == 0 else 0.0
        for slow, online, new in zip(
            *map(jax.tree.leaves, (before.target, after.critic.model, after.target)), strict=True
        ):
            assert np.allclose(new, (1 - rate) * slow + rate * online, rtol=1e-12)


@pytest.mark.parametrize(
    ("updates", "epsilon"), [(0, 0.9), (1, 0.82), (5, 0.5), (10, 0.1), (11, 0.1), (10**6, 0.1)]
)
def test_exploration_falls_linearly_and_stays(problem, updates, epsilon):
    """The behaviour's chances are those of the online network's ε-greedy policy."""
    algorithm, state, batch = problem
    settings = {"epsilon_start": 0.9, "epsilon_end": 0.1, "epsilon_updates": 10}
    algorithm = dataclasses.replace(algorithm, **settings)
    assert np.allclose(algorithm.epsilon(jnp.array(updates)), epsilon, rtol=1e-6)
    state = DQNState(state.critic, state.target, jnp.array(updates, jnp.int32))
    policy = algorithm.behaviour(state).policy
    chances = policy(batch.observation, ())[0].probabilities()
    best = values(state.critic.model, batch.observation).argmax(-1)
    expected = np.full((BATCH, 4), epsilon / 4) + (1 - epsilon) * np.eye(4)[best]
    assert np.allclose(chances, expected, atol=1e-6)


@pytest.mark.parametrize(("updates", "temperature"), [(0, 3.0), (5, 1.75), (10, 0.5), (99, 0.5)])
def test_boltzmann_exploration(problem, updates, temperature):
    """π(a | s) = exp(Q/τ)/Σ exp(Q/τ), with τ falling as ε does."""
    algorithm, state, batch = problem
    settings = {"temperature_start": 3.0, "temperature_end": 0.5, "temperature_updates": 10}
    algorithm = dataclasses.replace(algorithm, exploration=Exploration.BOLTZMANN, **settings)
    assert np.allclose(algorithm.temperature(jnp.array(updates)), temperature, rtol=1e-6)
    state = DQNState(state.critic, state.target, jnp.array(updates, jnp.int32))
    logits = algorithm.behaviour(state).policy(batch.observation, ())[0].logits
    chances = np.exp(values(state.critic.model, batch.observation) / temperature)
    chances /= chances.sum(-1, keepdims=True)
    assert np.allclose(jax.nn.softmax(logits), chances, rtol=1e-5)
    _, metrics = algorithm.update(state, batch, key=jr.key(0))
    assert np.allclose(
        metrics["rollout/temperature"], algorithm.temperature(jnp.array(updates + 1))
    )
    assert "rollout/exploration_rate" not in metrics


def test_the_temperature_falls_with_epsilon_where_no_number_is_given():
    algorithm = DQN(exploration=Exploration.BOLTZMANN, epsilon_updates=10)
    at = [algorithm.temperature(jnp.array(updates)) for updates in (0, 5, 10)]
    assert np.allclose(at, [1, 0.525, 0.05])


@pytest.fixture
def twins(problem):
    """Two networks and their slow copies, all four apart."""
    algorithm, _, batch = problem
    algorithm = dataclasses.replace(algorithm, twin=True, target_period=3, polyak_rate=0.5)
    nets = networks(DISCRETE)
    one, two = (nets.action_values(jr.key(seed)) for seed in (1, 2))
    state = algorithm.init(MeanActionValues((one, two)))
    apart = [nets.action_values(jr.key(seed)) for seed in (3, 4)]
    twin = dataclasses.replace(state.twin, target=apart[1])
    return algorithm, dataclasses.replace(state, target=apart[0], twin=twin), batch


def by_hand(algorithm, nets, slow, batch, coins):
    """van Hasselt (2010), algorithm 1, on minibatches, with a slow copy of each network."""
    adam = optax.adam(algorithm.learning_rate)
    states, learning = [adam.init(net) for net in nets], 0
    rows = np.arange(BATCH)

    def objective(net, target):
        error = jnp.abs(net(batch.observation)[rows, batch.action] - target)
        return jnp.mean(jnp.where(error < 1, error**2 / 2, error - 0.5))

    for number, coin in enumerate(coins, 1):
        learning = 1 - learning if coin else learning
        chooser = nets[learning] if algorithm.double else slow[learning]
        chosen = np.argmax(values(chooser, batch.next_observation), -1)
        judged = values(slow[1 - learning], batch.next_observation)[rows, chosen]
        target = batch.reward + np.where(batch.terminated, 0, 0.9 * judged)

        slope: Any = jax.grad(objective)(nets[learning], target)
        steps, states[learning] = adam.update(slope, states[learning])
        nets[learning] = optax.apply_updates(nets[learning], steps)
        if number % 3 == 0:
            average = lambda a, b: (a + b) / 2
            slow = [jax.tree.map(average, *pair) for pair in zip(slow, nets, strict=True)]
    return nets, slow, learning


@pytest.mark.parametrize("double", [False, True])
def test_two_networks_learn_in_turn(twins, double):
    """Which one is a fair coin; what does not learn keeps weights and optimiser."""
    algorithm, state, batch = twins
    algorithm = dataclasses.replace(algorithm, double=double)
    keys = jr.split(jr.key(5), 8)
    coins = [bool(jr.bernoulli(key)) for key in keys]
    assert len({*itertools.accumulate(coins, operator.xor)}) == 2
    networks = [state.critic.model, state.twin.trainable.model]
    nets, slow, learning = by_hand(
        algorithm, networks, [state.target, state.twin.target], batch, coins
    )
    update = jax.jit(lambda state, key: algorithm.update(state, batch, key=key)[0])
    for key in keys:
        state = update(state, key)
    first, second = (
        (state.critic.model, state.target),
        (state.twin.trainable.model, state.twin.target),
    )
    for (ours, ours_slow), i in ((first, learning), (second, 1 - learning)):
        for a, b in zip(
            *map(jax.tree.leaves, ((ours, ours_slow), (nets[i], slow[i]))), strict=True
        ):
            assert np.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_two_networks_act_on_their_mean(twins):
    """Whichever stands first."""
    algorithm, state, batch = twins
    one, two = (
        values(net, batch.observation) for net in (state.critic.model, state.twin.trainable.model)
    )
    best = (one + two).argmax(-1)
    assert np.any(best != one.argmax(-1)) and np.any(best != two.argmax(-1))
    for swap in (False, True):
        now = exchanged(state, jnp.array(swap))
        assert np.array_equal(algorithm.policy(now)(batch.observation, ())[0].mode(), best)
        acting = algorithm.behaviour(now).policy.action_values(batch.observation)
        assert np.allclose(acting, (one + two) / 2, rtol=1e-12)


@pytest.mark.parametrize("double", [False, True])
def test_two_networks_alike_are_one(problem, double):
    algorithm, state, batch = problem
    one = dataclasses.replace(algorithm, double=double)
    two = dataclasses.replace(one, twin=True)
    pair = two.init(MeanActionValues((state.critic.model, state.critic.model)))
    twin = dataclasses.replace(pair.twin, target=state.target)
    pair = dataclasses.replace(pair, target=state.target, twin=twin)
    assert np.array_equal(two.targets(pair, batch), one.targets(state, batch))


def test_two_networks_share_the_annealing(problem):
    """Of four updates each has about two; after two of its own its rate is 0."""
    algorithm, state, batch = problem
    algorithm = dataclasses.replace(algorithm, twin=True, anneal_updates=4)
    before = algorithm.init(MeanActionValues((state.critic.model, state.target)))
    stays = next(key for key in map(jr.key, range(20)) if not jr.bernoulli(key))
    update = jax.jit(lambda state: algorithm.update(state, batch, key=stays)[0])
    states = [before]
    for _ in range(3):
        states.append(update(states[-1]))
    weights = [s.critic.model.values.layers[0].weight for s in states]
    moved = [float(jnp.abs(a - b).max()) for a, b in itertools.pairwise(weights)]
    assert moved[0] > 9e-4 and 4e-4 < moved[1] < 6e-4 and moved[2] < 1e-9


def test_as_many_networks_as_learn(problem):
    algorithm, state, _ = problem
    pair = MeanActionValues((state.critic.model, state.target))
    with pytest.raises(ValueError, match="`twin`=False trains 1; got 2"):
        algorithm.init(pair)
    with pytest.raises(ValueError, match="`twin`=True trains 2; got 1"):
        dataclasses.replace(algorithm, twin=True).init(state.critic.model)


def test_the_policy_is_greedy(problem):
    algorithm, state, batch = problem
    distribution, memory = algorithm.policy(state)(batch.observation, ())
    best = values(state.critic.model, batch.observation).argmax(-1)
    assert np.array_equal(distribution.mode(), best) and memory == ()
    assert np.array_equal(distribution.sample(jr.key(0)), best)


def test_a_value_of_each_action(x64):
    nets = networks(DISCRETE)
    assert isinstance(nets, Architecture)
    assert values(nets.action_values(jr.key(0)), jnp.ones((2, 5, 3))).shape == (2, 5, 4)


OUT_OF_RANGE = [
    ("discount", 2.0, r"`discount` must lie in \[0, 1\]; got 2.0"),
    ("learning_rate", -1.0, r"`learning_rate` must lie in \(0, inf\); got -1.0"),
    ("target_period", 0, "`target_period` must be a whole number, at least 1; got 0"),
    ("polyak_rate", 0.0, r"`polyak_rate` must lie in \(0, 1\]; got 0.0"),
    ("epsilon_start", 1.1, r"`epsilon_start` must lie in \[0, 1\]; got 1.1"),
    ("epsilon_end", float("nan"), r"`epsilon_end` must lie in \[0, 1\]; got nan"),
    ("epsilon_updates", 0, "`epsilon_updates` must be a whole number, at least 1; got 0"),
    ("huber_delta", 0.0, r"`huber_delta` must lie in \(0, inf\); got 0.0"),
    ("anneal_updates", -1, "`anneal_updates` must be a whole number, at least 0; got -1"),
]


BOLTZMANN = {"exploration": Exploration.BOLTZMANN}
EXCLUDED = [
    (
        {"loss": ValueLoss.SQUARED, "huber_delta": 1.0},
        "`huber_delta` is for `loss` huber, not for squared, which",
    ),
    ({"temperature_start": 1.0}, "`temperature_start` is for boltzmann exploration, which is not"),
    ({"temperature_end": 0.1}, "`temperature_end` is for boltzmann exploration, which is not"),
    ({"temperature_updates": 9}, "`temperature_updates` is for boltzmann exploration, which is"),
    (BOLTZMANN | {"temperature_end": 0.0}, r"`temperature_end` must lie in \(0, inf\); got 0.0"),
    (BOLTZMANN | {"temperature_updates": 0}, "`temperature_updates` must be a whole number, at"),
]


@pytest.mark.parametrize(("settings", "message"), EXCLUDED)
def test_settings_that_do_not_go_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DQN(**settings)


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        DQN(**{name: value})
