# pyright: reportMissingImports=false
"""PPO by SB3 or TRPO by sb3-contrib on a MuJoCo environment: one seed trained and evaluated.

Started by `experiments.mujoco`, once a seed; not in the line protocol. The settings are the
libraries' defaults, with `VecNormalize` over observations and rewards. Writes one JSON file.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import TRPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize


ALGORITHMS: dict[str, Any] = {"ppo": PPO, "trpo": TRPO}
PACKAGES = ("stable_baselines3", "sb3_contrib", "torch", "gymnasium", "mujoco")


class Curve(BaseCallback):
    """The mean return, before normalisation, of the episodes that ended in each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._ended: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        self._ended += [info["episode"] for info in self.locals["infos"] if "episode" in info]
        return True

    def _on_rollout_end(self) -> None:
        row: dict[str, float] = {
            "iteration": len(self.rows) + 1,
            "time/total_timesteps": self.num_timesteps,
        }
        if self._ended:
            row["rollout/ep_rew_mean"] = float(np.mean([e["r"] for e in self._ended]))
            row["rollout/ep_len_mean"] = float(np.mean([e["l"] for e in self._ended]))
        self.rows.append(row)
        self._ended.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", choices=ALGORITHMS, required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--episodes", type=int, required=True, help="of the evaluation")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    envs = VecNormalize(make_vec_env(arguments.environment, n_envs=1, seed=arguments.seed))
    model = ALGORITHMS[arguments.algorithm]("MlpPolicy", envs, seed=arguments.seed, device="cpu")
    curve = Curve()
    began = time.perf_counter()
    model.learn(total_timesteps=arguments.steps, callback=curve)
    seconds = time.perf_counter() - began
    tests = make_vec_env(arguments.environment, n_envs=1, seed=arguments.seed + 1_000_000)
    frozen = VecNormalize(tests, training=False, norm_reward=False)
    frozen.obs_rms = envs.obs_rms
    returns, lengths = evaluate_policy(
        model,
        frozen,
        n_eval_episodes=arguments.episodes,
        deterministic=True,
        return_episode_rewards=True,
    )
    found = {
        "seed": arguments.seed,
        "steps": model.num_timesteps,
        "seconds": seconds,
        "returns": [float(value) for value in np.asarray(returns)],
        "lengths": [int(value) for value in np.asarray(lengths)],
        "rows": curve.rows,
        "versions": {package: version(package) for package in PACKAGES},
    }
    unfinished = arguments.output.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(found))
    unfinished.replace(arguments.output)


if __name__ == "__main__":
    main()
