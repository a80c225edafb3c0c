# pyright: reportMissingImports=false
"""DQN on Gymnasium's CartPole-v1 by SB3, the zoo's settings: 128 updates every 256 steps."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from stable_baselines3 import DQN


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=5_120, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    model = DQN("MlpPolicy", "CartPole-v1", seed=0, device="cpu", **zoo.DQN_CARTPOLE)
    zoo.learn(model, steps=2_560)

    def measure() -> protocol.Result:
        return zoo.learn(model, steps=arguments.steps)

    protocol.serve(
        measure,
        name="Stable-Baselines3 DQN CartPole-v1",
        unit="environment steps",
        packages=["stable_baselines3", "torch", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
