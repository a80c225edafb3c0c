import dataclasses
import functools as ft
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from algorithms.batches import CONTINUOUS, DISCRETE, networks, random_batch
from rewardtogo.algorithms.minibatches import shuffled_rows
from rewardtogo.algorithms.npg import NPG
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.algorithms.trust_region import fit_critic, judge
from rewardtogo.nn.actor_critic import ActingRecord, ActorCritic
from rewardtogo.optim.trainable import trainable
from rewardtogo.recipes import NPGRecipe
from rewardtogo.sources.task import make_task


TIME, ENVS = 6, 4


@pytest.mark.parametrize("space", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_the_step_solves_the_dense_system(space, x64):
    """(F + λI)x = g with F the Hessian of the mean divergence, and ½ΔᵀFΔ = δ."""
    nets, batch = networks(space), random_batch((TIME, ENVS), space)
    actor = jax.tree.map(lambda x: 10 * x, nets.actor(jr.key(1), log_std=-0.02))
    models = ActorCritic(actor, nets.state_value(jr.key(2)))
    algorithm = NPG(max_kl=0.003, cg_iterations=80, damping=0.2, normalise_advantage=False)
    state, metrics = jax.jit(
        lambda: algorithm.update(algorithm.init(models), batch, key=jr.key(0))
    )()

    theta, unravel = ravel_pytree(actor)
    old = actor(batch.observation, ())[0]
    at = lambda t: unravel(t)(batch.observation, ())[0]
    by_value = generalised(models, batch)
    gradient = jax.grad(lambda t: (at(t).log_prob(batch.action) * by_value).mean())(theta)
    # The Hessian of KL(new ‖ old) at old is the same: another route to it.
    matrix = jax.hessian(lambda t: at(t).kl_divergence(old).mean())(theta)
    x = np.linalg.solve(matrix + 0.2 * np.eye(theta.size), gradient)
    step = ravel_pytree(state.actor)[0] - theta
    assert np.allclose(0.5 * step @ matrix @ step, 0.003, rtol=1e-6)
    assert np.allclose(step / np.linalg.norm(step), x / np.linalg.norm(x), atol=1e-7)
    assert metrics["train/cg_residual"] < 1e-6
    kl = old.kl_divergence(at(theta + step))
    assert np.allclose(metrics["train/kl"], kl.mean()) and 0.001 < kl.mean() < 0.009
    assert np.allclose(metrics["train/max_kl"], kl.max())


@pytest.mark.parametrize("num_minibatches", [1, 3])
def test_the_critic_sees_every_shuffled_minibatch(num_minibatches, x64):
    """Adam by hand over the rows in their shuffled order; one minibatch is not shuffled at all."""
    shuffled = ft.partial(shuffled_rows, num_epochs=2, num_minibatches=num_minibatches)
    batch = random_batch((TIME, ENVS), DISCRETE)
    adam: Any = optax.adam(0.01)
    critic = networks(DISCRETE).state_value(jr.key(2))
    samples = judge(critic, batch, discount=0.9, trace_decay=0.8, normalise_advantage=True)
    fitted, error = fit_critic(
        trainable(critic, adam),
        adam,
        samples,
        num_epochs=2,
        num_minibatches=num_minibatches,
        key=jr.key(3),
    )

    loss = lambda c, s, y: jnp.mean((c(s) - y) ** 2) / 2
    state, losses = adam.init(critic), []
    for rows in shuffled(jr.key(3), size=TIME * ENVS):
        seen = samples.observation[rows], samples.value_target[rows]
        found, gradient = jax.value_and_grad(loss)(critic, *seen)
        step, state = adam.update(gradient, state)
        critic, losses = eqx.apply_updates(critic, step), [*losses, found]
    assert len(losses) == 2 * num_minibatches
    assert np.allclose(error, np.mean(losses), rtol=1e-9)
    leaves = map(jax.tree.leaves, (fitted.model, critic))
    for a, b in zip(*leaves, strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-12)


def generalised(models, batch):
    return (
        PPO().score(models, dataclasses.replace(batch, record=ActingRecord(batch.reward))).advantage
    )


OUT_OF_RANGE = [
    ("discount", 1.5, r"`discount` must lie in \[0, 1\]; got 1.5"),
    ("trace_decay", -0.1, r"`trace_decay` must lie in \[0, 1\]; got -0.1"),
    ("max_kl", 0.0, r"`max_kl` must lie in \(0, inf\); got 0.0"),
    ("cg_iterations", 0, "`cg_iterations` must be a whole number, at least 1; got 0"),
    ("damping", -0.1, "`damping` .* got -0.1"),
    ("learning_rate", 0.0, "`learning_rate` .* got 0.0"),
    ("num_epochs", 0, "`num_epochs` must be a whole number, at least 1; got 0"),
    ("num_minibatches", 0, "`num_minibatches` must be a whole number, at least 1; got 0"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        NPG(**{name: value})


def test_minibatches_must_divide():
    task = make_task("CartPole-v1", num_seeds=1, run_seed=0)
    with pytest.raises(ValueError, match=r"`num_minibatches` \(8\) must divide .* = 15"):
        NPGRecipe(num_envs=3, num_steps=5).build(task)
