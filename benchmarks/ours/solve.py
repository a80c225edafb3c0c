"""Solving an MDP to a certified 1e-6, as `rewardtogo.tabular` does by default."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
import os

import numpy as np

from benchmarks.peers import mdps
from rewardtogo.devices import prepare
from rewardtogo.tabular.mdp import AbstractMDP, tabular_mdp
from rewardtogo.tabular.solvers.solution import Solution
from rewardtogo.tabular.solvers.solve import solve
from rewardtogo.tabular.successors import successor_mdp


def model(problem: str, side: int, discount: float) -> AbstractMDP:
    """The same numbers as the peers have."""
    if problem == "dense":
        table = mdps.dense()
        initial = np.full(len(table.reward), 1 / len(table.reward))
        return tabular_mdp(*table, initial, discount=discount)
    lists = mdps.grid(side) if problem == "grid" else mdps.LISTS[problem]()
    initial = np.zeros(len(lists.reward))
    initial[0] = 1
    tables = lists.successor, lists.probability, lists.reward
    return successor_mdp(*tables, initial, discount=discount)


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--problem", choices=mdps.NAMES, required=True)
    parser.add_argument("--side", type=int, default=300, help="rows and columns of the grid")
    parser.add_argument("--discount", type=float, default=mdps.DISCOUNT)
    arguments = parser.parse_args()
    prepare("cpu", 1)
    mdp = model(arguments.problem, arguments.side, arguments.discount)
    found: Solution = solve(mdp)
    error = found.certificate.value_error
    assert error is not None

    def measure() -> protocol.Result:
        for _ in range(mdps.SOLVES[arguments.problem]):
            values = solve(mdp).values
        return {
            "steps": mdps.SOLVES[arguments.problem],
            "checksum": float(np.mean(values)),
            "value_error": float(error),
            "iterations": int(found.iterations),
        }

    protocol.serve(
        measure,
        name="rewardtogo solve",
        unit="solves",
        packages=["rewardtogo", "jax", "numpy"],
        settings={**vars(arguments), "XLA_FLAGS": os.environ["XLA_FLAGS"]},
    )


if __name__ == "__main__":
    main()
