# pyright: reportMissingImports=false
"""TD3 on Gymnasium's Pendulum-v1 by SBX in training: one environment, one update a step."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import zoo
from sbx import TD3


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2_000, help="environment steps a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    arguments = parser.parse_args()
    zoo.use_threads(arguments.threads)
    model = TD3("MlpPolicy", "Pendulum-v1", seed=0, **zoo.TD3_PENDULUM)
    zoo.learn(model, steps=500)

    def measure() -> protocol.Result:
        done = zoo.learn(model, steps=arguments.steps)
        return {**done, "steps": done["updates"]}

    protocol.serve(
        measure,
        name="SBX TD3 Pendulum-v1",
        unit="updates",
        packages=["sbx-rl", "stable_baselines3", "jax", "gymnasium"],
        settings={"torch_threads": arguments.threads},
    )


if __name__ == "__main__":
    main()
