"""The flat file and the library, trained side by side in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from experiments import minimal_ppo
from rewardtogo.algorithms.ppo import PPO
from rewardtogo.envs.classic.cartpole import CartPole
from rewardtogo.envs.wrappers import TimeLimit
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.nn.build import Architecture
from rewardtogo.sources.buffers.latest import Latest
from rewardtogo.sources.collectors.rollout import Rollout
from rewardtogo.sources.protocol import Source
from rewardtogo.training.loop import Loop


SETTINGS = minimal_ppo.Settings(
    num_envs=3, num_steps=32, num_iterations=6, hidden=(8, 7), max_episode_steps=15
)


def library() -> Loop:
    """The same settings, as the library takes them."""
    env = TimeLimit(CartPole(dtype="float64"), SETTINGS.max_episode_steps)
    spaces = env.observation_space, env.action_space
    nets = Architecture(*spaces, SETTINGS.hidden, "tanh", jnp.float64)

    def models(key):
        one, two = jr.split(key)
        return ActorCritic(nets.actor(one, log_std=0.0), nets.state_value(two))

    shared = ("num_epochs", "num_minibatches", "learning_rate", "discount", "trace_decay")
    shared += ("clip", "entropy_coef", "value_coef", "max_grad_norm")
    settings = {name: getattr(SETTINGS, name) for name in shared}
    algorithm = PPO(anneal_updates=SETTINGS.num_iterations, **settings)
    return Loop(
        algorithm, Source(Rollout(env, SETTINGS.num_envs, SETTINGS.num_steps), Latest()), models
    )


def parameters(model: Any) -> dict:
    nets = {"actor": model.actor.logits, "critic": model.critic.value}
    return {name: [(y.weight, y.bias) for y in net.layers] for name, net in nets.items()}


def assert_close(ours, theirs):
    for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_it_is_the_librarys_ppo(x64):
    """Five iterations with minibatches and annealing: parameters, metrics, environments."""
    key, loop = jr.key(5), library()
    state = loop.init(key)
    iterate = jax.jit(loop.iterate)
    learning, acting, env_keys = minimal_ppo.begin(SETTINGS, key)
    assert_close(learning[0], parameters(state.learner.trainable.model))
    for index in range(5):
        state, metrics = iterate(state, index, key)
        learning, acting, found = minimal_ppo.iterate(
            SETTINGS, learning, acting, env_keys, key, index
        )
        assert_close(learning[0], parameters(state.learner.trainable.model))
        del found["episode_return"]
        for gauge in ("explained_variance", "gradient_snr", "effective_sample_share"):
            del metrics[f"train/{gauge}"]
        assert {f"train/{name}" for name in found} == metrics.keys()
        assert_close({f"train/{name}": number for name, number in found.items()}, metrics)
        assert_close(acting[0][:, :4], state.collector.observation)
    assert state.collector.episode.min() > 5


def test_it_prints_a_learning_curve(capsys):
    minimal_ppo.main(SETTINGS._replace(num_iterations=40))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" steps")[0].strip() for line in lines] == ["1,920", "3,840"]
