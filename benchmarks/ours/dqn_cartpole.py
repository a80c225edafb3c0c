"""DQN on CartPole-v1, the zoo's settings: 128 updates every 256 steps."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import DQN
from rewardtogo.recipes import DQNRecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, default=10_240, help="environment steps a seed and repetition"
    )
    arguments = parser.parse_args()
    recipe = DQNRecipe(
        algorithm=DQN(
            learning_rate=2.3e-3,
            discount=0.99,
            # The zoo's period is 10 environment steps, less than a round takes: so once a round.
            target_period=128,
            epsilon_end=0.04,
            epsilon_updates=4_000,
        ),
        num_envs=1,
        num_steps=256,
        num_updates=128,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1_000,
        hidden=(256, 256),
        activation="relu",
    )
    run = Run("CartPole-v1", recipe, num_seeds=arguments.seeds)
    run.train(2_560)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}

    protocol.serve(
        measure,
        name="rewardtogo DQN CartPole-v1",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
