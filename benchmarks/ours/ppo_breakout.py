"""PPO on MinAtar's Breakout, the board flattened; every repetition begins anew."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import PPO
from rewardtogo.recipes import PPORecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--total-steps", type=int, default=524_288, help="steps a repetition")
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
            num_minibatches=8,
        ),
        num_envs=64,
        num_steps=128,
        hidden=(64, 64),
        conv_channels=(),
        activation="tanh",
    )
    # gymnax's version has no sticky actions.
    run = Run("MinAtar/Breakout-v1", recipe, env_args={"sticky_action_prob": 0.0})

    def measure() -> protocol.Result:
        run.restart()
        return {"steps": run.train(arguments.total_steps)}

    measure()
    protocol.serve(
        measure,
        name="rewardtogo PPO MinAtar Breakout",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
