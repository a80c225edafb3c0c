# pyright: reportMissingImports=false
"""PPO on Gymnasium's CartPole-v1 by SBX, 8 environments in one process, the zoo's settings."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from sbx import PPO
from stable_baselines3.common.env_util import make_vec_env


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=25_600, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    envs = make_vec_env("CartPole-v1", n_envs=8, seed=0)
    model = PPO("MlpPolicy", envs, seed=0, **zoo.PPO_CARTPOLE)
    zoo.learn(model, steps=2_560)

    def measure() -> protocol.Result:
        return zoo.learn(model, steps=arguments.steps)

    protocol.serve(
        measure,
        name="SBX PPO CartPole-v1 through Gymnasium",
        unit="environment steps",
        packages=["sbx-rl", "stable_baselines3", "jax", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
