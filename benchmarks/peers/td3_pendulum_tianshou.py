# pyright: reportMissingImports=false
"""TD3 on Gymnasium's Pendulum-v1 by Tianshou in training: one environment, one update a step."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import gymnasium as gym
import tianshou_parts as parts
from tianshou.algorithm import TD3
from tianshou.algorithm.modelfree.ddpg import ContinuousDeterministicPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.exploration import GaussianNoise
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorDeterministic, ContinuousCritic
from tianshou.utils.torch_utils import policy_within_training_step


HIDDEN = (256, 256)


def make() -> TD3:
    """Networks of 256×256 with ReLU, and the settings that all have."""
    env = gym.make("Pendulum-v1")
    states, actions = env.observation_space.shape, env.action_space.shape
    actor = ContinuousActorDeterministic(
        preprocess_net=Net(state_shape=states, hidden_sizes=HIDDEN), action_shape=actions
    )
    critic = lambda: ContinuousCritic(
        preprocess_net=Net(
            state_shape=states, action_shape=actions, hidden_sizes=HIDDEN, concat=True
        )
    )
    policy = ContinuousDeterministicPolicy(
        actor=actor, exploration_noise=GaussianNoise(sigma=0.1), action_space=env.action_space
    )
    optimiser = AdamOptimizerFactory(lr=1e-3)
    return TD3(
        policy=policy,
        policy_optim=optimiser,
        critic=critic(),
        critic_optim=optimiser,
        critic2=critic(),
        critic2_optim=optimiser,
        tau=0.005,
        gamma=0.99,
        policy_noise=0.2,
        noise_clip=0.5,
        update_actor_freq=2,
    )


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=500, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    parts.start(arguments.threads)
    algorithm = make()
    envs = DummyVectorEnv([lambda: gym.make("Pendulum-v1")])
    collector = Collector(algorithm, envs, VectorReplayBuffer(1_000_000, 1), exploration_noise=True)
    collector.reset()

    def train(steps: int) -> int:
        with policy_within_training_step(algorithm.policy):
            for _ in range(steps):
                collector.collect(n_step=1)
                algorithm.update(buffer=collector.buffer, sample_size=256)
        return steps

    with policy_within_training_step(algorithm.policy):
        collector.collect(n_step=300, random=True)
    train(200)

    def measure() -> protocol.Result:
        return {"steps": train(arguments.steps)}

    protocol.serve(
        measure,
        name="Tianshou TD3 Pendulum-v1",
        unit="updates",
        packages=parts.PACKAGES,
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
