"""SAC on Pendulum-v1 in training: one environment, one update a step."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import SAC
from rewardtogo.recipes import SACRecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2_000, help="updates a repetition")
    arguments = parser.parse_args()
    recipe = SACRecipe(
        algorithm=SAC(learning_rate=1e-3),
        num_envs=1,
        num_steps=1,
        num_updates=1,
        batch_size=256,
        buffer_size=1000000,
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
        name="rewardtogo SAC Pendulum-v1",
        unit="updates",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
