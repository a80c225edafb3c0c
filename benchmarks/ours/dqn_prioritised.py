"""DQN on CartPole-v1 with prioritised replay, else as `dqn_cartpole` has it.

A tree from before this file runs it too, so it keeps to public names of the library and to that
tree's own `training`: what else the library is made of may have another name there.
"""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from benchmarks.ours.training import PACKAGES, Run
from rewardtogo import DQN, DQNRecipe


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=10_240, help="environment steps a repetition")
    arguments = parser.parse_args()
    recipe = DQNRecipe(
        algorithm=DQN(
            learning_rate=2.3e-3,
            discount=0.99,
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
        prioritised=True,
        hidden=(256, 256),
        activation="relu",
    )
    run = Run("CartPole-v1", recipe)
    run.train(2_560)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}

    protocol.serve(
        measure,
        name="rewardtogo DQN CartPole-v1, prioritised",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
