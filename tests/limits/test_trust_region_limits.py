"""What NPG and TRPO become where a setting or a batch takes an end of its range."""

import dataclasses

import gymnasium as gym
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from quick_compiles import quick_compiles as quick_compiles
from rewardtogo.algorithms.npg import NPG
from rewardtogo.algorithms.trpo import TRPO, Divergence
from rewardtogo.algorithms.trust_region import judge, policy_problem
from rewardtogo.nn.actor_critic import ActorCritic


TIME, ENVS = 6, 4
ALGORITHMS = {
    "npg": NPG(),
    "trpo": TRPO(),
    "max": TRPO(divergence=Divergence.MAX),
    "penalty": TRPO(penalty_coef=1.0),
}
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)


def models(space: gym.Space = DISCRETE):
    nets = networks(space)
    # Scaled up: the last layer begins close to zero.
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=-0.02))
    return ActorCritic(actor, nets.state_value(jr.key(2)))


def updated(algorithm, networks, batch):
    return jax.jit(lambda: algorithm.update(algorithm.init(networks), batch, key=jr.key(0)))()


def same(ours, theirs):
    return all(map(np.array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs)))


def step_of(algorithm, networks, batch):
    state, metrics = updated(algorithm, networks, batch)
    return ravel_pytree(state.actor)[0] - ravel_pytree(networks.actor)[0], metrics


@every_algorithm
def test_without_advantage_the_policy_stays_to_the_bit(algorithm, x64):
    """No reward and a critic that says 0: nothing to gain, nothing to fit, nothing NaN."""
    blind = dataclasses.replace(models(), critic=jax.tree.map(jnp.zeros_like, models().critic))
    batch = random_batch((TIME, ENVS), DISCRETE)
    batch = dataclasses.replace(batch, reward=jnp.zeros((TIME, ENVS)))
    state, metrics = updated(algorithm, blind, batch)
    assert same(state.actor, blind.actor) and same(state.critic.model, blind.critic)
    assert np.allclose([metrics["train/kl"], metrics["train/surrogate_gain"]], 0, atol=1e-15)
    assert all(np.isfinite(value) for value in metrics.values())
    if "train/line_search_fraction" in metrics:
        assert metrics["train/line_search_fraction"] == 0


@pytest.mark.parametrize("divergence", Divergence)
def test_where_no_length_is_accepted_the_policy_stays_to_the_bit(divergence, x64):
    """One length only, and a limit at which the divergence leaves its parabola far behind."""
    algorithm = TRPO(max_kl=1e4, line_search_steps=1, divergence=divergence)
    before, batch = models(CONTINUOUS), random_batch((TIME, ENVS), CONTINUOUS)
    state, metrics = updated(algorithm, before, batch)
    assert metrics["train/line_search_fraction"] == 0 and same(state.actor, before.actor)
    assert abs(metrics["train/kl"]) < 1e-15 and all(map(np.isfinite, metrics.values()))


def test_trpo_under_a_tiny_limit_is_npg(x64):
    """Where the parabola is exact the whole length, or its half, is taken: the same direction."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    natural, _ = step_of(NPG(max_kl=1e-8), models(), batch)
    checked, metrics = step_of(TRPO(max_kl=1e-8), models(), batch)
    share = metrics["train/line_search_fraction"]
    assert share in (0.5, 1.0) and np.allclose(checked, share * natural, rtol=1e-6, atol=1e-14)


def test_a_limit_four_times_as_wide_is_a_step_twice_as_long(x64):
    batch = random_batch((TIME, ENVS), CONTINUOUS)
    one, four = (step_of(NPG(max_kl=d), models(CONTINUOUS), batch)[0] for d in (0.01, 0.04))
    assert np.allclose(four, 2 * one, rtol=1e-9)


def test_the_worst_state_allows_no_more_than_the_mean(x64):
    """max ≥ mean: the limit on every state shortens the step along the same direction."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    mean, _ = step_of(TRPO(max_kl=1e-4), models(), batch)
    worst, metrics = step_of(TRPO(max_kl=1e-4, divergence=Divergence.MAX), models(), batch)
    assert np.linalg.norm(worst) < np.linalg.norm(mean)
    assert np.allclose(worst @ mean, np.linalg.norm(worst) * np.linalg.norm(mean), rtol=1e-9)
    assert metrics["train/kl"] < metrics["train/max_kl"] <= 1e-4


def test_a_penalty_four_times_as_high_is_a_step_a_quarter_as_long(x64):
    """Δ = F⁻¹g/C where C is large: the price of a nat, not its number, sets the length."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    one, four = (step_of(TRPO(penalty_coef=c), models(), batch) for c in (500.0, 2000.0))
    assert one[1]["train/line_search_fraction"] == four[1]["train/line_search_fraction"] == 1
    assert np.allclose(one[0], 4 * four[0], rtol=1e-9)


def test_with_much_damping_the_direction_is_the_plain_gradient(x64):
    """(F + λI)⁻¹g → g/λ."""
    batch = random_batch((TIME, ENVS), DISCRETE)
    start = models()
    algorithm = NPG(damping=1e6)
    step, _ = step_of(algorithm, start, batch)
    judged = judge(start.critic, batch, discount=0.99, trace_decay=0.95, normalise_advantage=True)
    old = policy_problem(start.actor, judged)
    gradient = jax.grad(old.gain)(old.theta)
    cosine = step @ gradient / np.linalg.norm(step) / np.linalg.norm(gradient)
    assert np.isclose(cosine, 1, atol=1e-9)


@every_algorithm
def test_a_policy_that_is_sure_gives_no_nan(algorithm):
    """In single precision, with logits so far apart that all probabilities are 0 or 1."""
    nets = dataclasses.replace(networks(DISCRETE), dtype=jnp.float32)
    sure = jax.tree.map(lambda x: 1e4 * x, nets.actor(jr.key(1), log_std=0.0))
    batch = random_batch((TIME, ENVS), DISCRETE)
    state, metrics = updated(algorithm, ActorCritic(sure, nets.state_value(jr.key(2))), batch)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state.actor))
    assert all(np.isfinite(value) for value in metrics.values())
