# pyright: reportMissingImports=false
"""TRPO on Gymnasium's CartPole-v1 by sb3-contrib, 4 environments in one process."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from sb3_contrib import TRPO
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    envs = make_vec_env("CartPole-v1", n_envs=4, seed=0)
    model = TRPO("MlpPolicy", envs, seed=0, device="cpu", **zoo.TRPO_CARTPOLE)
    zoo.learn(model, steps=2_048)

    def measure() -> protocol.Result:
        return zoo.learn(model, steps=arguments.steps)

    protocol.serve(
        measure,
        name="sb3-contrib TRPO CartPole-v1",
        unit="environment steps",
        packages=["sb3_contrib", "stable_baselines3", "torch", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
