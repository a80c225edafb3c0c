"""TRPO on CartPole-v1: 4 environments, 256 steps, the critic fitted in 20 whole batches."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import TRPO
from rewardtogo.recipes import TRPORecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=204_800, help="environment steps a repetition")
    arguments = parser.parse_args()
    recipe = TRPORecipe(
        algorithm=TRPO(
            discount=0.99,
            trace_decay=0.95,
            max_kl=0.01,
            cg_iterations=10,
            damping=0.1,
            line_search_steps=10,
            learning_rate=1e-3,
            num_epochs=20,
            num_minibatches=1,
        ),
        num_envs=4,
        num_steps=256,
        hidden=(64, 64),
        activation="tanh",
    )
    run = Run("CartPole-v1", recipe)
    run.train(arguments.steps)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}

    protocol.serve(
        measure,
        name="rewardtogo TRPO CartPole-v1",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
