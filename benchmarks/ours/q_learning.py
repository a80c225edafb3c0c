"""Q-learning on FrozenLake8x8: 100 seeds at once, with all that `rtg control` counts."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
import os

import jax.random as jr

from benchmarks.peers import lake
from rewardtogo.devices import prepare
from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.td.control.one_step import QLearning
from rewardtogo.td.control.optimum import control_optimum
from rewardtogo.td.control.run import control_problem, program
from rewardtogo.td.steps.dynamics import dynamics
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.step_sizes import ConstantStepSize


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=200_000, help="steps a seed and repetition")
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    prepare("cpu", arguments.seeds)
    mdp = problem("FrozenLake8x8-v1", discount=lake.DISCOUNT).mdp
    method = QLearning(
        exploration=EpsilonGreedyExploration(lake.EPSILON),
        step_size=ConstantStepSize(lake.STEP_SIZE),
    )
    points = 10
    run = program(method, seeds=arguments.seeds)
    lake_and_truth = control_problem(dynamics(mdp, max_steps=lake.LIMIT), control_optimum(mdp))

    def measure() -> protocol.Result:
        q, _ = run(jr.key(0), [(lake_and_truth, arguments.steps // points)] * points, 0.0)
        steps = arguments.steps // points * points * arguments.seeds
        return {"steps": steps, "checksum": float(q.max())}

    measure()
    protocol.serve(
        measure,
        name="rewardtogo Q-learning",
        unit="updates",
        packages=["rewardtogo", "jax"],
        settings={"XLA_FLAGS": os.environ["XLA_FLAGS"]},
    )


if __name__ == "__main__":
    main()
