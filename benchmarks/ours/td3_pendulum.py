"""TD3 on Pendulum-v1 in training: one environment, one update a step."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import TD3
from rewardtogo.recipes import TD3Recipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2_000, help="updates a repetition")
    arguments = parser.parse_args()
    recipe = TD3Recipe(
        algorithm=TD3(
            learning_rate=1e-3,
            polyak_rate=0.005,
            exploration_noise=0.1,
            target_noise=0.2,
            target_noise_clip=0.5,
            policy_delay=2,
        ),
        num_envs=1,
        num_steps=1,
        num_updates=1,
        batch_size=256,
        buffer_size=1_000_000,
        learning_starts=100,
        hidden=(256, 256),
        activation="relu",
    )
    run = Run("Pendulum-v1", recipe)
    run.train(500)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}  # after the warm-up, as many updates

    protocol.serve(
        measure,
        name="rewardtogo TD3 Pendulum-v1",
        unit="updates",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
