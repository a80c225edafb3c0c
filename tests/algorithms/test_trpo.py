import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.algorithms.trpo import TRPO, Divergence
from rewardtogo.algorithms.trust_region import judge, natural_direction, policy_problem
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic
from rewardtogo.recipes import TRPORecipe
from rewardtogo.sources.task import make_task
from rewardtogo.training.train import build_program, train


TIME, ENVS = 6, 4
DIVERGENCES = {"mean": Divergence.MEAN, "max": Divergence.MAX}


@pytest.fixture(params=[DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def problem(request, x64):
    """Models, and a rollout that they could have gathered."""
    nets = networks(request.param)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=-0.02))
    models = ActorCritic(actor, nets.state_value(jr.key(2)))
    return models, random_batch((TIME, ENVS), request.param)


def update(algorithm, models, batch):
    return jax.jit(lambda: algorithm.update(algorithm.init(models), batch, key=jr.key(0)))()


def divergences_by_hand(old, new, seen):
    """KL(old ‖ new), old first, in every state."""
    p, q = old(seen, ())[0], new(seen, ())[0]
    if hasattr(p, "logits"):
        p, q = jax.nn.softmax(p.logits), jax.nn.softmax(q.logits)
        return np.sum(p * np.log(p / q), axis=-1)
    one, two = np.exp(2 * np.asarray(p.log_std)), np.exp(2 * np.asarray(q.log_std))
    terms = np.log(two / one) + (one + (p.mean - q.mean) ** 2) / two - 1
    return terms.sum(-1) / 2


def gain_by_hand(old, new, batch, advantage):
    ratio = np.exp(
        new(batch.observation, ())[0].log_prob(batch.action)
        - old(batch.observation, ())[0].log_prob(batch.action)
    )
    return np.mean((ratio - 1) * advantage)


def test_judgement_is_that_of_ppo(problem):
    """Where PPO's is held against the definition; rows in the order of time, then environment."""
    models, batch = problem
    batch = dataclasses.replace(batch, record=ActingRecord(batch.reward))
    theirs = PPO(discount=0.9, trace_decay=0.7).score(models, batch)
    settings = {"discount": 0.9, "trace_decay": 0.7}
    ours = judge(models.critic, batch, normalise_advantage=False, **settings)
    assert np.array_equal(ours.advantage, theirs.advantage.reshape(-1))
    assert np.array_equal(ours.value_target, theirs.value_target.reshape(-1))
    assert np.array_equal(ours.observation, batch.observation.reshape(-1, 3))
    ours = judge(models.critic, batch, normalise_advantage=True, **settings)
    assert np.allclose([ours.advantage.mean(), ours.advantage.std()], [0, 1], atol=1e-6)
    assert np.array_equal(ours.value_target, theirs.value_target.reshape(-1))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_metrics_by_formula_and_the_limit_is_kept(problem, name):
    """A limit so wide that the first lengths overshoot; every number against NumPy."""
    models, batch = problem
    over = {"mean": np.mean, "max": np.max}[name]
    algorithm = TRPO(max_kl=0.3, divergence=DIVERGENCES[name], damping=0.01)
    state, metrics = update(algorithm, models, batch)
    kl = divergences_by_hand(models.actor, state.actor, batch.observation)
    assert 0 < over(kl) <= 0.3
    assert np.allclose(metrics["train/kl"], np.mean(kl), rtol=1e-9)
    assert np.allclose(metrics["train/max_kl"], np.max(kl), rtol=1e-9)
    sample = algorithm_advantage(models, batch, algorithm)
    gain = gain_by_hand(models.actor, state.actor, batch, sample)
    assert gain > 0 and np.allclose(metrics["train/surrogate_gain"], gain, rtol=1e-9)
    entropy = state.actor(batch.observation, ())[0].entropy().mean()
    assert np.allclose(metrics["train/entropy_loss"], -entropy, rtol=1e-9)


def algorithm_advantage(models, batch, algorithm):
    judged = judge(
        models.critic,
        batch,
        discount=algorithm.discount,
        trace_decay=algorithm.trace_decay,
        normalise_advantage=True,
    )
    return np.asarray(judged.advantage).reshape(TIME, ENVS)


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("penalty_coef", [None, 0.5])
def test_the_step_is_the_longest_of_the_halvings_that_is_accepted(problem, name, penalty_coef):
    """Every length tried by hand, in NumPy; the limit or the penalised gain decides."""
    models, batch = problem
    over = {"mean": np.mean, "max": np.max}[name]
    algorithm = TRPO(max_kl=0.3, divergence=DIVERGENCES[name], penalty_coef=penalty_coef)
    advantage = algorithm_advantage(models, batch, algorithm)
    judged = judge(models.critic, batch, discount=0.99, trace_decay=0.95, normalise_advantage=True)
    old = policy_problem(models.actor, judged)
    found = jax.jit(lambda: natural_direction(old, iterations=10, damping=0.1))()
    curvature = over(found.curvatures)
    if penalty_coef is None:
        length = np.sqrt(2 * 0.3 / curvature)
    else:
        length = found.slope / (penalty_coef * curvature)
    wanted = 0.0
    for share in 0.5 ** np.arange(10):
        actor = old.actor(old.theta + share * length * found.direction)
        gain = gain_by_hand(models.actor, actor, batch, advantage)
        kl = over(divergences_by_hand(models.actor, actor, batch.observation))
        if gain > 0 and kl <= 0.3 if penalty_coef is None else gain > penalty_coef * kl:
            wanted = share
            break
    state, metrics = update(algorithm, models, batch)
    assert metrics["train/line_search_fraction"] == wanted > 0
    expected = old.actor(old.theta + wanted * length * found.direction)
    for a, b in zip(jax.tree.leaves(state.actor), jax.tree.leaves(expected), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_the_value_is_fitted_to_its_targets(problem):
    """One step of Adam moves by its rate against the sign of the gradient of ½(V − G)²."""
    models, batch = problem
    algorithm = TRPO(num_epochs=1, num_minibatches=1, learning_rate=0.01)
    target = PPO().score(models, dataclasses.replace(batch, record=ActingRecord(batch.reward)))
    error = lambda c: jnp.mean((c(batch.observation) - target.value_target) ** 2) / 2
    state, metrics = update(algorithm, models, batch)
    assert np.allclose(metrics["train/value_loss"], error(models.critic), rtol=1e-9)
    gradient = jax.jit(jax.grad(error))(models.critic)
    leaves = map(jax.tree.leaves, (models.critic, state.critic.model, gradient))
    for before, after, g in zip(*leaves, strict=True):
        assert np.allclose(after, before - 0.01 * g / (jnp.abs(g) + 1e-8), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_every_step_keeps_the_limit_while_training(name):
    """Reported after each iteration; steps that are not all tiny."""
    recipe = TRPORecipe(
        algorithm=TRPO(num_epochs=2), num_envs=4, num_steps=32, hidden=(8,), total_steps=128 * 12
    )
    found = reported(recipe, name)
    assert np.all(found["train/kl"] <= 0.01) and np.all(found["train/surrogate_gain"] >= 0)
    assert np.mean(found["train/kl"] > 0.001) > 0.9


def reported(recipe, name):
    task = make_task(name, num_seeds=1, run_seed=0)
    program = build_program(recipe.build(task), keys=jr.split(jr.key(0), 1))
    steps = {"total_steps": recipe.total_steps, "report_every": 128}
    rows = [report.metrics for report in train(program, **steps)]
    assert len(rows) == 12
    return {tag: np.array([row[tag] for row in rows]) for tag in rows[0]}


OUT_OF_RANGE = [
    ("discount", 1.5, r"`discount` must lie in \[0, 1\]; got 1.5"),
    ("trace_decay", -0.1, r"`trace_decay` must lie in \[0, 1\]; got -0.1"),
    ("max_kl", 0.0, r"`max_kl` must lie in \(0, inf\); got 0.0"),
    ("penalty_coef", 0.0, r"`penalty_coef` must lie in \(0, inf\); got 0.0"),
    ("cg_iterations", 0, "`cg_iterations` must be a whole number, at least 1; got 0"),
    ("damping", -0.1, "`damping` .* got -0.1"),
    ("line_search_steps", 0, "`line_search_steps` must be a whole number, at least 1; got 0"),
    ("learning_rate", 0.0, "`learning_rate` .* got 0.0"),
    ("num_epochs", 0, "`num_epochs` must be a whole number, at least 1; got 0"),
    ("num_minibatches", 0, "`num_minibatches` must be a whole number, at least 1; got 0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        TRPO(**{name: value})


def test_minibatches_must_divide():
    task = make_task("CartPole-v1", num_seeds=1, run_seed=0)
    with pytest.raises(ValueError, match=r"`num_minibatches` \(8\) must divide .* = 15"):
        TRPORecipe(num_envs=3, num_steps=5).build(task)
