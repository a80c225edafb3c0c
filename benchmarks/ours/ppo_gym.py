"""PPO on Gymnasium's CartPole-v1, 8 environments in one process, the zoo's settings."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import PPO
from rewardtogo.recipes import PPORecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=25_600, help="environment steps a repetition")
    arguments = parser.parse_args()
    recipe = PPORecipe(
        algorithm=PPO(
            learning_rate=1e-3,
            discount=0.98,
            trace_decay=0.8,
            clip=0.2,
            entropy_coef=0.0,
            num_epochs=20,
            num_minibatches=1,
        ),
        num_envs=8,
        num_steps=32,
        hidden=(64, 64),
        activation="tanh",
    )
    run = Run("CartPole-v1", recipe, backend="gymnasium")
    run.train(2_560)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}

    protocol.serve(
        measure,
        name="rewardtogo PPO CartPole-v1 through Gymnasium",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
