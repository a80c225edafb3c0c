# pyright: reportMissingImports=false
"""A2C on Gymnasium's CartPole-v1 by SB3, 8 environments in one process, the zoo's settings."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    envs = make_vec_env("CartPole-v1", n_envs=8, seed=0)
    model = A2C("MlpPolicy", envs, seed=0, device="cpu", **zoo.A2C_CARTPOLE)
    zoo.learn(model, steps=2_560)

    def measure() -> protocol.Result:
        return zoo.learn(model, steps=arguments.steps)

    protocol.serve(
        measure,
        name="Stable-Baselines3 A2C CartPole-v1",
        unit="environment steps",
        packages=["stable_baselines3", "torch", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
