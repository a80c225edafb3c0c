# pyright: reportMissingImports=false
"""QuantEcon's DiscreteDP, compiled by Numba: --method vi, mpi or pi."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import mdps
import numpy as np
import scipy.sparse as sp
from quantecon.markov import DiscreteDP


def model(problem: str) -> DiscreteDP:
    """Tables as they are; lists as state–action pairs with a sparse matrix, its fastest form."""
    if problem == "dense":
        table = mdps.dense()
        return DiscreteDP(table.reward, table.transition, mdps.DISCOUNT)
    lists = mdps.LISTS[problem]()
    states, actions, outcomes = lists.successor.shape
    pairs = np.arange(states * actions)
    matrix = sp.csr_matrix(
        (lists.probability.ravel(), (np.repeat(pairs, outcomes), lists.successor.ravel())),
        shape=(states * actions, states),
    )
    return DiscreteDP(
        lists.reward.ravel(), matrix, mdps.DISCOUNT, pairs // actions, pairs % actions
    )


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--problem", choices=mdps.NAMES, required=True)
    parser.add_argument("--method", choices=("vi", "mpi", "pi"), required=True)
    arguments = parser.parse_args()
    made = model(arguments.problem)

    # Its ε is that of the policy, and the values are within half of it.
    def solve() -> np.ndarray:
        return made.solve(method=arguments.method, epsilon=2e-6, max_iter=1_000_000).v

    checksum = float(np.mean(solve()))

    def measure() -> protocol.Result:
        for _ in range(mdps.SOLVES[arguments.problem]):
            solve()
        return {"steps": mdps.SOLVES[arguments.problem], "checksum": checksum}

    protocol.serve(
        measure,
        name=f"QuantEcon {arguments.method}",
        unit="solves",
        packages=["quantecon", "numba", "numpy"],
        settings=vars(arguments),
    )


if __name__ == "__main__":
    main()
