# pyright: reportMissingImports=false
"""mdpsolver, in C++ with two threads: its default, modified policy iteration."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import time

import mdps
import mdpsolver
import numpy as np


def model(problem: str) -> "mdpsolver.model":
    """Tables as they are, lists as they are."""
    made = mdpsolver.model()
    if problem == "dense":
        table = mdps.dense()
        made.mdp(
            discount=mdps.DISCOUNT,
            rewards=table.reward.tolist(),
            tranMatWithZeros=table.transition.tolist(),
        )
        return made
    lists = mdps.LISTS[problem]()
    made.mdp(
        discount=mdps.DISCOUNT,
        rewards=lists.reward.tolist(),
        tranMatProbs=lists.probability.tolist(),
        tranMatColumns=lists.successor.tolist(),
    )
    return made


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--problem", choices=mdps.NAMES, required=True)
    arguments = parser.parse_args()

    def measure() -> protocol.Result:
        # A model that was solved before starts from its solution, so each solve takes a new one.
        seconds = 0.0
        for _ in range(mdps.SOLVES[arguments.problem]):
            made = model(arguments.problem)
            start = time.perf_counter()
            made.solve(tolerance=1e-6, postProcessing=False, makeFinalCheck=False)
            seconds += time.perf_counter() - start
        return {
            "steps": mdps.SOLVES[arguments.problem],
            "seconds": seconds,
            "checksum": float(np.mean(made.getValueVector())),
        }

    measure()
    protocol.serve(
        measure,
        name="mdpsolver mpi",
        unit="solves",
        packages=["mdpsolver"],
        settings=vars(arguments),
    )


if __name__ == "__main__":
    main()
