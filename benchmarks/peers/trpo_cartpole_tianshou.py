# pyright: reportMissingImports=false
"""TRPO on Gymnasium's CartPole-v1 by Tianshou, 4 environments in one process.

Ten iterations of conjugate gradient and a damping of 0.1 are written into its code.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import warnings

import gymnasium as gym
import tianshou_parts as parts
from tianshou.algorithm import TRPO
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv


ENVS, STEPS = 4, 256


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="Backtracking")
    parts.start(arguments.threads)
    policy, critic = parts.actor_and_critic(gym.make("CartPole-v1"))
    algorithm = TRPO(
        policy=policy,
        critic=critic,
        optim=AdamOptimizerFactory(lr=1e-3),
        max_kl=0.01,
        max_backtracks=10,
        optim_critic_iters=20,
        gae_lambda=0.95,
        gamma=0.99,
        max_batchsize=ENVS * STEPS,
    )
    envs = DummyVectorEnv([lambda: gym.make("CartPole-v1")] * ENVS)
    collector = Collector(algorithm, envs, VectorReplayBuffer(ENVS * STEPS, ENVS))
    train = parts.on_policy(algorithm, collector, rollout=ENVS * STEPS)
    train(2_048)

    def measure() -> protocol.Result:
        return {"steps": train(arguments.steps)}

    protocol.serve(
        measure,
        name="Tianshou TRPO CartPole-v1",
        unit="environment steps",
        packages=parts.PACKAGES,
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
