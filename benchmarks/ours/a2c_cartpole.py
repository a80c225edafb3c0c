"""A2C on CartPole-v1, the zoo's settings: 8 environments, 5 steps, RMSProp."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
from rewardtogo import A2C
from rewardtogo.algorithms.a2c import StepRule
from rewardtogo.recipes import A2CRecipe

from .training import PACKAGES, Run


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=400_000, help="environment steps a repetition")
    arguments = parser.parse_args()
    recipe = A2CRecipe(
        algorithm=A2C(
            discount=0.99,
            trace_decay=1.0,
            learning_rate=7e-4,
            critic_learning_rate=7e-4,
            step_rule=StepRule.RMSPROP,
            max_grad_norm=0.5,
        ),
        num_envs=8,
        num_steps=5,
        hidden=(64, 64),
        activation="tanh",
    )
    run = Run("CartPole-v1", recipe)
    run.train(arguments.steps)

    def measure() -> protocol.Result:
        return {"steps": run.train(arguments.steps)}

    protocol.serve(
        measure,
        name="rewardtogo A2C CartPole-v1",
        unit="environment steps",
        packages=PACKAGES,
        settings=run.settings,
    )


if __name__ == "__main__":
    main()
