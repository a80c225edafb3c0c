import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.minibatches import shuffled_rows
from rewardtogo.algorithms.ppo import PPO, AdvantageScale, Objective, Sample, adapted
from rewardtogo.estimators.diagnostics import explained_variance
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic, SteppedActorCritic
from rewardtogo.nn.distributions import Categorical


TIME, ENVS = 6, 4
PLAIN: dict[str, Any] = {"advantage_scale": AdvantageScale.NONE}
PENALTY: dict[str, Any] = {"objective": Objective.KL_PENALTY}


def gathered(action_space):
    """Models, and a rollout that they could have gathered."""
    nets = networks(action_space)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=-0.02))
    models = ActorCritic(actor, nets.state_value(jr.key(2)))
    batch = random_batch((TIME, ENVS), action_space)
    return models, dataclasses.replace(batch, record=ActingRecord(log_prob_by_hand(actor, batch)))


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def problem(request, x64):
    return gathered(request.param)


@pytest.fixture
def discrete(x64):
    return gathered(DISCRETE)


def log_prob_by_hand(actor, batch):
    """Softmax and normal densities, written out."""
    head = actor(batch.observation, ())[0]
    if batch.action.dtype == jnp.int32:
        chances = jnp.exp(head.logits) / jnp.sum(jnp.exp(head.logits), axis=-1, keepdims=True)
        return jnp.log(jnp.take_along_axis(chances, batch.action[..., None], axis=-1)[..., 0])
    deviation = jnp.exp(head.log_std)
    density = jnp.exp(-(((batch.action - head.mean) / deviation) ** 2) / 2)
    return jnp.log(density / (deviation * jnp.sqrt(2 * jnp.pi))).sum(-1)


def entropy_by_hand(actor, batch):
    head = actor(batch.observation, ())[0]
    if batch.action.dtype == jnp.int32:
        chances = jax.nn.softmax(head.logits)
        return -(chances * jnp.log(chances)).sum(-1)
    return (head.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum(-1)


def scored_by_hand(critic, batch, discount, trace_decay):
    """Advantages as sums of TD errors up to the border: loops over time and environment."""
    value, after = (np.asarray(critic(o)) for o in (batch.observation, batch.next_observation))
    batch = jax.tree.map(np.asarray, batch)
    advantage = np.zeros((TIME, ENVS))
    for start, env in np.ndindex(TIME, ENVS):
        for t in range(start, TIME):
            bootstrap = 0.0 if batch.terminated[t, env] else discount * after[t, env]
            error = batch.reward[t, env] + bootstrap - value[t, env]
            advantage[start, env] += (discount * trace_decay) ** (t - start) * error
            if batch.terminated[t, env] or batch.truncated[t, env]:
                break
    return value, advantage


@pytest.mark.parametrize("trace_decay", [0.0, 0.7, 1.0])
def test_scores_follow_the_definition(problem, trace_decay):
    """A truncated step bootstraps from its own successor, a terminated one from nothing."""
    models, batch = problem
    algorithm = PPO(discount=0.9, trace_decay=trace_decay)
    sample = algorithm.score(models, batch)
    value, advantage = scored_by_hand(models.critic, batch, 0.9, trace_decay)
    assert np.allclose(sample.advantage, advantage, atol=1e-12)
    assert np.allclose(sample.value_target, value + advantage, atol=1e-12)
    assert np.allclose(sample.old_value, value, atol=1e-12)
    assert np.array_equal(sample.old_log_prob, batch.record.log_prob)


def test_one_full_step_is_a_step_on_the_policy_gradient(problem):
    """One epoch of one minibatch at ratio 1: Adam's first step on the gradient by hand."""
    models, batch = problem
    settings: dict[str, Any] = {
        "num_epochs": 1,
        "num_minibatches": 1,
        "discount": 0.9,
        "trace_decay": 0.7,
    }
    coefs: dict[str, Any] = {"entropy_coef": 0.3, "value_coef": 0.7, "max_grad_norm": 0.05}
    algorithm = PPO(learning_rate=0.01, **PLAIN, **settings, **coefs)
    value, advantage = scored_by_hand(models.critic, batch, 0.9, 0.7)

    def objective(models):
        gain = jnp.mean(advantage * log_prob_by_hand(models.actor, batch))
        error = jnp.mean((models.critic(batch.observation) - (value + advantage)) ** 2) / 2
        return -gain + 0.7 * error - 0.3 * jnp.mean(entropy_by_hand(models.actor, batch))

    gradient = jax.jit(jax.grad(objective))(models)
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient)))
    assert norm > 0.05
    update = jax.jit(lambda models: algorithm.update(algorithm.init(models), batch, key=jr.key(0)))
    state, _ = update(models)
    for before, after, g in zip(
        *map(jax.tree.leaves, (models, state.trainable.model, gradient)), strict=True
    ):
        g = g * 0.05 / norm
        assert np.allclose(after, before - 0.01 * g / (jnp.abs(g) + 1e-5), rtol=1e-9, atol=1e-12)


def test_advantages_are_standardised_within_the_minibatch(problem):
    models, batch = problem
    algorithm = PPO()
    sample = algorithm.score(models, batch)
    same = lambda a: algorithm.loss(models, dataclasses.replace(sample, advantage=a), 0.0)[0]
    standard = (sample.advantage - np.mean(sample.advantage)) / np.std(sample.advantage)
    assert np.allclose(same(sample.advantage), same(7 + 3 * sample.advantage), rtol=1e-6)
    plain = dataclasses.replace(algorithm, **PLAIN)
    given = dataclasses.replace(sample, advantage=standard)
    assert np.allclose(same(sample.advantage), plain.loss(models, given, 0.0)[0], rtol=1e-6)


def test_loss_and_metrics_by_formula(problem):
    """Away from ratio 1, with the value clip: every number against NumPy."""
    models, batch = problem
    algorithm = PPO(clip=0.2, value_clip=0.1, value_coef=0.7, entropy_coef=0.3, **PLAIN)
    sample = algorithm.score(models, batch)
    moved = jax.tree.map(
        lambda x: 2 * x + 0.3 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), models
    )
    loss, metrics = algorithm.loss(moved, sample, 0.0)

    log_ratio = np.asarray(log_prob_by_hand(moved.actor, batch) - batch.record.log_prob)
    ratio, advantage = np.exp(log_ratio), np.asarray(sample.advantage)
    gain = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
    value, target = np.asarray(moved.critic(batch.observation)), np.asarray(sample.value_target)
    near = sample.old_value + np.clip(value - sample.old_value, -0.1, 0.1)
    error = (np.maximum((value - target) ** 2, (near - target) ** 2) / 2).mean()
    entropy = np.mean(entropy_by_hand(moved.actor, batch))
    clipped = np.mean(np.abs(ratio - 1) > 0.2)
    assert 0 < clipped < 1 and np.any(near != value)
    expected = {
        "train/loss": -gain + 0.7 * error - 0.3 * entropy,
        "train/policy_gradient_loss": -gain,
        "train/value_loss": error,
        "train/entropy_loss": -entropy,
        "train/approx_kl": np.mean(ratio - 1 - log_ratio),
        "train/clip_fraction": clipped,
        "train/effective_sample_share": ratio.mean() ** 2 / np.mean(ratio**2),
    }
    assert metrics.keys() == expected.keys()
    for name, number in expected.items():
        assert np.allclose(metrics[name], number, rtol=1e-6), name
    assert loss == metrics["train/loss"]


def test_a_value_beyond_its_clip_gets_no_gradient_towards_the_target(x64):
    """Old value 0, target 1: a value that has moved past +0.1 has done enough."""
    nets = networks(DISCRETE)
    models = ActorCritic(nets.actor(jr.key(1), log_std=0.0), nets.state_value(jr.key(2)))
    seen, one = jnp.ones((1, 3)), jnp.ones(1)
    value = models.critic(seen)
    target = value + 1
    algorithm = PPO(value_clip=0.1, **PLAIN)

    @jax.jit
    def slope(old_value):
        action = jnp.zeros(1, jnp.int32)
        old = Categorical(jnp.zeros((1, 4)))
        sample = Sample(seen, action, one > 1, (), old, -one, old_value, 0 * one, target)
        gradient = jax.grad(lambda m: algorithm.loss(m, sample, 0.0)[0])(models)
        return sum(jnp.abs(g).sum() for g in jax.tree.leaves(gradient.critic))

    assert slope(value - 0.2) == 0 and slope(value - 0.05) > 0
    # Moved away from the target, it is pulled back whatever the clip.
    assert slope(value + 0.2) > 0


def test_annealing_ends_at_zero(discrete):
    """After `anneal_updates` rollouts of epochs × minibatches steps, nothing moves any more."""
    models, batch = discrete
    algorithm = PPO(num_epochs=2, num_minibatches=3, anneal_updates=2, learning_rate=0.01)
    update = jax.jit(lambda state, key: algorithm.update(state, batch, key=key)[0])
    states = [algorithm.init(models)]
    for index in range(3):
        states.append(update(states[-1], jr.key(index)))
    leaves = [jax.tree.leaves(state.trainable.model) for state in states]
    moved = [
        max(float(jnp.abs(a - b).max()) for a, b in zip(x, y, strict=True))
        for x, y in itertools.pairwise(leaves)
    ]
    assert moved[0] > moved[1] > 1e-3 and moved[2] < 1e-8
    counts = [x for x in jax.tree.leaves(states[1].trainable.opt_state) if x.dtype == jnp.int32]
    assert len(counts) == 2 and all(count == 6 for count in counts)
    # Adam moves by about the rate: 6 steps from 1 to 7/12 of it, then 6 down to 1/12.
    assert moved[0] < 0.01 * (12 + 11 + 10 + 9 + 8 + 7) / 12 * 1.1
    assert moved[1] < 0.01 * (6 + 5 + 4 + 3 + 2 + 1) / 12 * 1.1


def test_advantages_of_the_whole_rollout_are_standardised_once(problem):
    """The same numbers in every minibatch; what the value is fitted to is left alone."""
    models, batch = problem
    raw = PPO(**PLAIN).score(models, batch)
    whole = PPO(advantage_scale=AdvantageScale.BATCH)
    scaled = whole.score(models, batch)
    assert np.array_equal(scaled.value_target, raw.value_target)
    advantage = np.asarray(raw.advantage)
    by_hand = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    assert np.allclose(scaled.advantage, by_hand, rtol=1e-12)
    part = jax.tree.map(lambda x: x[:2], scaled)
    kept = -np.mean(by_hand[:2])  # at ratio 1
    assert np.allclose(whole.loss(models, part, 0.0)[1]["train/policy_gradient_loss"], kept)


class OneNumber(SteppedActorCritic):
    """Two actions, the first of probability σ(x); the value is 0."""

    x: Any

    def __call__(self, observation, memory):
        logits = jnp.stack([self.x, jnp.zeros_like(self.x)])
        logits = jnp.broadcast_to(logits[None], (len(observation), 2))
        return Categorical(logits), jnp.zeros(len(observation)), memory

    def initial_carry(self):
        return ()


@pytest.mark.parametrize(
    ("objective", "advantage", "slopes"),
    [
        (Objective.CLIP, 1.0, [1, 1, 0]),
        (Objective.CLIP, -1.0, [0, -1, -1]),
        (Objective.KL_PENALTY, 1.0, [1, 1, 1]),
        (Objective.KL_PENALTY, -1.0, [-1, -1, -1]),
    ],
)
def test_slope_of_the_objective_in_the_ratio(objective, advantage, slopes, x64):
    """A5, of the whole loss without its other terms, at ratios of 0.7, 1 and 1.3."""
    algorithm = PPO(clip=0.2, value_coef=0.0, objective=objective, **PLAIN)
    action, one, before = jnp.zeros(1, jnp.int32), jnp.ones(1), 0.25
    old = Categorical(jnp.log(jnp.array([[before, 1 - before]])))
    given = (old.log_prob(action), 0 * one, advantage * one, 0 * one)
    sample = Sample(jnp.ones((1, 3)), action, one > 1, (), old, *given)
    slope = jax.jit(jax.grad(lambda x: -algorithm.loss(OneNumber(x), sample, 0.0)[0]))
    for ratio, expected in zip([0.7, 1.0, 1.3], slopes, strict=True):
        chance = before * ratio
        ratio_slope = chance * (1 - chance) / before  # dρ/dx
        ours = slope(jnp.log(chance / (1 - chance))) / ratio_slope
        assert np.allclose(ours, expected, atol=1e-12)


def test_the_penalty_has_no_slope_at_the_old_policy(problem):
    """There the gradient is the plain policy gradient, whatever β; elsewhere it is not."""
    models, batch = problem
    algorithm = PPO(value_coef=0.0, **PENALTY, **PLAIN)
    sample = algorithm.score(models, batch)

    def plain(models):
        return -jnp.mean(sample.advantage * log_prob_by_hand(models.actor, batch))

    gradient = jax.jit(jax.grad(lambda m, beta: algorithm.loss(m, sample, beta)[0]))
    close = lambda a, b: all(
        np.allclose(x, y, rtol=1e-10, atol=1e-13)
        for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
    )
    expected = jax.jit(jax.grad(plain))(models)
    assert close(gradient(models, 7.0), expected) and close(gradient(models, 0.0), expected)
    moved = jax.tree.map(lambda x: 0.9 * x, models)
    assert not close(gradient(moved, 7.0), gradient(moved, 0.0))


def kl_by_hand(old, new, batch):
    """KL(old ‖ new), written out."""
    old, new = (actor(batch.observation, ())[0] for actor in (old, new))
    if batch.action.dtype == jnp.int32:
        before, after = jax.nn.softmax(old.logits), jax.nn.softmax(new.logits)
        return (before * (jnp.log(before) - jnp.log(after))).sum(-1)
    ratio = jnp.exp(2 * (old.log_std - new.log_std))
    shift = ((old.mean - new.mean) / jnp.exp(new.log_std)) ** 2
    return 0.5 * (ratio + shift - 1 - jnp.log(ratio)).sum(-1)


def test_the_penalised_loss_by_formula(problem):
    models, batch = problem
    algorithm = PPO(value_coef=0.0, **PENALTY, **PLAIN)
    sample = algorithm.score(models, batch)
    moved = jax.tree.map(lambda x: 0.8 * x, models)
    ratio = np.exp(log_prob_by_hand(moved.actor, batch) - batch.record.log_prob)
    kl = kl_by_hand(models.actor, moved.actor, batch)
    expected = np.mean(-ratio * sample.advantage + 3.0 * kl)
    assert np.allclose(algorithm.loss(moved, sample, 3.0)[0], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(0.0, 0.5), (0.0066, 0.5), (0.0067, 1), (0.01, 1), (0.0149, 1), (0.0151, 2), (9.0, 2)],
)
def test_the_coefficient_adapts(kl, factor, x64):
    """Halved below 0.01/1.5, doubled above 0.015, else kept."""
    assert adapted(jnp.array(3.0), jnp.array(kl), target=0.01) == 3 * factor


@pytest.mark.parametrize(("kl", "first"), [(0.0, 1e-10), (1.0, 1e10)])
def test_the_coefficient_can_always_come_back(kl, first, x64):
    kl_coef = jnp.array(first)
    assert adapted(kl_coef, jnp.array(kl), target=0.01) == kl_coef


def test_an_update_hands_its_coefficient_on(discrete):
    """It belongs to the divergence that the whole update made, over the whole rollout."""
    models, batch = discrete
    settings = {"num_epochs": 2, "num_minibatches": 2, "learning_rate": 1e-2} | PENALTY

    @jax.jit
    def updated(target):
        algorithm = PPO(initial_kl_coef=0.3, kl_target=target, **settings)
        return algorithm.update(algorithm.init(models), batch, key=jr.key(0))

    state, metrics = updated(1.0)
    kl = np.mean(kl_by_hand(models.actor, state.trainable.model.actor, batch))
    assert kl > 1e-5 and np.allclose(metrics["train/kl"], kl, rtol=1e-9)
    assert metrics["train/kl_coef"] == 0.3 and state.kl_coef == 0.15
    assert updated(kl / 2)[0].kl_coef == 0.6 and updated(kl)[0].kl_coef == 0.3


def test_a_tiny_target_allows_one_step(discrete):
    """At the first minibatch the policies are the same; at the second they differ."""
    models, batch = discrete
    free = PPO(num_epochs=2, num_minibatches=3, learning_rate=1e-2, anneal_updates=2)

    @jax.jit
    def updated(target_kl, state):
        algorithm = dataclasses.replace(free, target_kl=target_kl)
        return algorithm.update(state, batch, key=jr.key(0))

    stopped, metrics = updated(1e-12, free.init(models))
    assert metrics["train/step_fraction"] == pytest.approx(1 / 6)
    # Looked at were two: the step that was taken, of divergence 0, and the one that was not.
    last = free.loss(stopped.trainable.model, *second_minibatch(free, models, batch))[1]
    assert np.allclose(2 * metrics["train/approx_kl"], last["train/approx_kl"], rtol=1e-6)
    # Adam's first step moves by no more than the rate, and by nearly that where it moves at all.
    pairs = zip(*map(jax.tree.leaves, (models, stopped.trainable.model)), strict=True)
    assert 0.009 < max(float(jnp.abs(a - b).max()) for a, b in pairs) <= 0.01
    # The rate falls by iterations, whether or not their steps were taken.
    adam, clock = sorted(
        int(x) for x in jax.tree.leaves(stopped.trainable.opt_state) if x.ndim == 0
    )
    assert (adam, clock) == (1, 6)

    never, metrics = updated(1e9, free.init(models))
    assert metrics["train/step_fraction"] == 1
    plain, metrics = jax.jit(lambda s: free.update(s, batch, key=jr.key(0)))(free.init(models))
    assert "train/step_fraction" not in metrics
    for a, b in zip(*map(jax.tree.leaves, (never, plain)), strict=True):
        assert np.allclose(a, b, rtol=1e-12)


def second_minibatch(algorithm, models, batch):
    """Its samples, and the coefficient that nothing reads."""
    samples = algorithm.score(models, batch)
    rows = shuffled_rows(jr.key(0), size=TIME * ENVS, num_epochs=2, num_minibatches=3)[1]
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[rows], samples), 0.0


def test_minibatches_must_divide(discrete):
    models, batch = discrete
    algorithm = PPO(num_minibatches=5)
    with pytest.raises(ValueError, match=r"`num_minibatches` \(5\) must divide .*24"):
        algorithm.update(algorithm.init(models), batch, key=jr.key(0))


def test_explained_variance(x64):
    target = jnp.array([1.0, 2.0, 4.0, 9.0])
    assert np.allclose(explained_variance(target + 3, target), 1)
    assert np.allclose(explained_variance(jnp.full(4, 2.0), target), 0)
    half = np.array([1.0, 2.0, 4.0, 5.0])
    expected = 1 - np.var(target - half) / np.var(target)
    assert np.allclose(explained_variance(jnp.asarray(half), target), expected)


OUT_OF_RANGE = [
    ("discount", 1.5, r"`discount` must lie in \[0, 1\]; got 1.5"),
    ("trace_decay", -0.1, r"`trace_decay` must lie in \[0, 1\]; got -0.1"),
    ("clip", 0.0, r"`clip` must lie in \(0, inf\); got 0.0"),
    ("clip", float("nan"), "`clip` .* got nan"),
    ("learning_rate", float("inf"), "`learning_rate` .* got inf"),
    ("num_epochs", 0, "`num_epochs` must be a whole number, at least 1; got 0"),
    ("num_minibatches", 0, "`num_minibatches` must be a whole number, at least 1; got 0"),
    ("entropy_coef", -1.0, "`entropy_coef` .* got -1.0"),
    ("value_coef", -1.0, "`value_coef` .* got -1.0"),
    ("max_grad_norm", 0.0, "`max_grad_norm` .* got 0.0"),
    ("value_clip", 0.0, "`value_clip` .* got 0.0"),
    ("kl_target", 0.0, "`kl_target` .* got 0.0"),
    ("initial_kl_coef", 0.0, "`initial_kl_coef` .* got 0.0"),
    ("adam_epsilon", 0.0, "`adam_epsilon` .* got 0.0"),
    ("sequence_length", 0, "`sequence_length` must be a whole number, at least 1; got 0"),
    ("target_kl", -0.1, "`target_kl` .* got -0.1"),
    ("anneal_updates", -1, "`anneal_updates` must be a whole number, at least 0; got -1"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        PPO(**{name: value})
