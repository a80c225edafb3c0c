# pyright: reportMissingImports=false
"""What Tianshou's workers share: networks, and collecting and updating in turn.

Its trainer would add tests, statistics and progress bars; the calls here are those it makes.
"""

from collections.abc import Callable
from typing import Any

import torch
from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
from tianshou.data import Collector
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
from tianshou.utils.torch_utils import policy_within_training_step
from torch import nn


PACKAGES = ["tianshou", "torch", "gymnasium"]


def start(threads: int) -> None:
    """Threads and seed of torch."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)


def actor_and_critic(env: Any) -> tuple[DiscreteActorPolicy, DiscreteCritic]:
    """A policy and a value function of discrete actions, 64×64 tanh each."""
    net = lambda: Net(
        state_shape=env.observation_space.shape, hidden_sizes=(64, 64), activation=nn.Tanh
    )
    actor = DiscreteActor(
        preprocess_net=net(), action_shape=env.action_space.n, softmax_output=False
    )
    policy = DiscreteActorPolicy(
        actor=actor, action_space=env.action_space, observation_space=env.observation_space
    )
    return policy, DiscreteCritic(preprocess_net=net())


def on_policy(algorithm: Any, collector: Collector, *, rollout: int) -> Callable[[int], int]:
    """Train by so many environment steps, each rollout one batch; how many it were."""

    def train(steps: int) -> int:
        done = 0
        with policy_within_training_step(algorithm.policy):
            while done < steps:
                done += collector.collect(n_step=rollout).n_collected_steps
                algorithm.update(buffer=collector.buffer, batch_size=None, repeat=1)
                collector.reset_buffer(keep_statistics=True)
        return done

    collector.reset()
    return train
