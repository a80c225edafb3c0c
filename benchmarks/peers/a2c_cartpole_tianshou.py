# pyright: reportMissingImports=false
"""A2C on Gymnasium's CartPole-v1 by Tianshou, 8 environments in one process, the zoo's settings."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import gymnasium as gym
import tianshou_parts as parts
from tianshou.algorithm import A2C
from tianshou.algorithm.optim import RMSpropOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv


ENVS, STEPS = 8, 5


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    parts.start(arguments.threads)
    policy, critic = parts.actor_and_critic(gym.make("CartPole-v1"))
    algorithm = A2C(
        policy=policy,
        critic=critic,
        optim=RMSpropOptimizerFactory(lr=7e-4, alpha=0.99, eps=1e-5),
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        gae_lambda=1.0,
        gamma=0.99,
    )
    envs = DummyVectorEnv([lambda: gym.make("CartPole-v1")] * ENVS)
    collector = Collector(algorithm, envs, VectorReplayBuffer(ENVS * STEPS, ENVS))
    train = parts.on_policy(algorithm, collector, rollout=ENVS * STEPS)
    train(2_560)

    def measure() -> protocol.Result:
        return {"steps": train(arguments.steps)}

    protocol.serve(
        measure,
        name="Tianshou A2C CartPole-v1",
        unit="environment steps",
        packages=parts.PACKAGES,
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
