"""PPO on CartPole-v1, steps per second without compiling; every repetition begins anew."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import PPO
from rewardtogo.recipes import PPORecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--num-envs", type=int, default=4)
    parser.add_argument("--width", type=int, default=64, help="of both hidden layers")
    parser.add_argument(
        "--total-steps", type=int, default=500_000, help="steps a seed and repetition"
    )
    arguments = parser.parse_args()
    recipe = PPORecipe(
        algorithm=PPO(
            learning_rate=2.5e-4,
            discount=0.99,
            trace_decay=0.95,
            clip=0.2,
            entropy_coef=0.01,
            max_grad_norm=0.5,
            num_epochs=4,
            num_minibatches=4,
        ),
        num_envs=arguments.num_envs,
        num_steps=128,
        hidden=(arguments.width, arguments.width),
        activation="tanh",
    )
    run = Run("CartPole-v1", recipe, num_seeds=arguments.seeds)

    def measure() -> protocol.Result:
        run.restart()
        return {"steps": run.train(arguments.total_steps)}

    measure()
    protocol.serve(
        measure,
        name="rewardtogo PPO CartPole-v1",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
