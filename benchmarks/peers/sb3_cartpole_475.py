# pyright: reportMissingImports=false
"""SB3's PPO on CartPole-v1 until it reaches 475, the whole process: start, import, training.

A repetition starts a fresh Python, which trains with the zoo's settings and evaluates the policy's
mode over 20 episodes every 8,192 steps, until their mean is 475 or the zoo's 100,000 steps are
done. `seconds` is the whole process; `reached` says whether it got there, `return` how far.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import itertools
import json
import subprocess
import sys
from typing import Any


TARGET, TOTAL_STEPS, EVALUATE_EVERY = 475.0, 100_000, 8_192


def train(seed: int, threads: int) -> protocol.Result:
    """Train until the target is reached."""
    import zoo
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnRewardThreshold
    from stable_baselines3.common.env_util import make_vec_env

    zoo.use_threads(threads)
    envs = make_vec_env("CartPole-v1", n_envs=8, seed=seed)
    evaluation = EvalCallback(
        make_vec_env("CartPole-v1", n_envs=8, seed=seed + 1_000),
        callback_on_new_best=StopTrainingOnRewardThreshold(TARGET),
        n_eval_episodes=20,
        eval_freq=EVALUATE_EVERY // envs.num_envs,
        verbose=0,
    )
    settings: dict[str, Any] = zoo.PPO_CARTPOLE
    model = PPO("MlpPolicy", envs, seed=seed, device="cpu", **settings)
    model.learn(total_timesteps=TOTAL_STEPS, callback=evaluation)
    best = float(evaluation.best_mean_reward)
    return {
        "steps": model.num_timesteps,
        "return": best,
        "reached": best >= TARGET,
        "peak_rss_mb": protocol.peak_rss_mb(),
    }


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    parser.add_argument("--child", type=int, metavar="SEED", help="train once with this seed")
    arguments = parser.parse_args()
    if arguments.child is not None:
        protocol.reply(train(arguments.child, arguments.threads))
        return
    seeds = itertools.count()

    def measure() -> protocol.Result:
        own = [sys.executable, __file__, "--threads", str(arguments.threads)]
        child = [*own, "--child", str(next(seeds))]
        return json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)

    protocol.serve(
        measure,
        name="SB3 PPO CartPole-v1 to 475, whole process",
        unit="environment steps",
        packages=["stable_baselines3", "torch", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
