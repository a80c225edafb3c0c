# pyright: reportMissingImports=false
"""Settings, mostly RL Baselines3 Zoo's, and one repetition of `learn`, for SB3 and SBX alike."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.noise import NormalActionNoise


PPO_CARTPOLE: dict[str, Any] = {
    "n_steps": 32,
    "n_epochs": 20,
    "batch_size": 256,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "ent_coef": 0.0,
    "learning_rate": lambda remaining: 1e-3 * remaining,
    "clip_range": lambda remaining: 0.2 * remaining,
}
SAC_PENDULUM: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 256,
    "learning_starts": 100,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [256, 256]},
}
TD3_PENDULUM: dict[str, Any] = {
    "learning_rate": 1e-3,
    "batch_size": 256,
    "learning_starts": 100,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_delay": 2,
    "action_noise": NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)),
    "policy_kwargs": {"net_arch": [256, 256]},
}
A2C_CARTPOLE: dict[str, Any] = {  # SB3's own defaults, too: RMSProp, 64×64
    "n_steps": 5,
    "gamma": 0.99,
    "gae_lambda": 1.0,
    "ent_coef": 0.0,
    "learning_rate": 7e-4,
}
TRPO_CARTPOLE: dict[str, Any] = {  # what sb3-contrib, Tianshou and ours can all be set to
    "n_steps": 256,
    "batch_size": 1_024,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "learning_rate": 1e-3,
    "n_critic_updates": 20,
    "target_kl": 0.01,
    "cg_max_steps": 10,
    "cg_damping": 0.1,
    "line_search_max_iter": 10,
}
DQN_CARTPOLE: dict[str, Any] = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "gamma": 0.99,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [256, 256]},
}


def use_threads(count: int) -> None:
    """Let torch use `count` threads inside an operation."""
    torch.set_num_threads(count)


def learn(model: Any, *, steps: int) -> dict[str, float]:
    """Continue the training of `model` by `steps` environment steps, and count what was done."""
    steps_before, updates_before = model.num_timesteps, model._n_updates
    model.learn(total_timesteps=steps, reset_num_timesteps=False)
    return {
        "steps": model.num_timesteps - steps_before,
        "updates": model._n_updates - updates_before,
    }
