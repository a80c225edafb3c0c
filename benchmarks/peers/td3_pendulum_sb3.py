# pyright: reportMissingImports=false
"""TD3 on Gymnasium's Pendulum-v1 by SB3 in training: one environment, one update a step."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from stable_baselines3 import TD3


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=500, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    model = TD3("MlpPolicy", "Pendulum-v1", seed=0, device="cpu", **zoo.TD3_PENDULUM)
    zoo.learn(model, steps=500)

    def measure() -> protocol.Result:
        done = zoo.learn(model, steps=arguments.steps)
        return {**done, "steps": done["updates"]}

    protocol.serve(
        measure,
        name="Stable-Baselines3 TD3 Pendulum-v1",
        unit="updates",
        packages=["stable_baselines3", "torch", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
