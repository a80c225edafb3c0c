# pyright: reportMissingImports=false
"""Value iteration by NumPy and SciPy's sparse matrices, as a script would have it."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import mdps
import numpy as np
import scipy.sparse as sp


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--problem", choices=("grid",), default="grid")
    arguments = parser.parse_args()
    lists = mdps.grid()
    states, actions, outcomes = lists.successor.shape
    pairs = np.repeat(np.arange(states * actions), outcomes)
    matrix = sp.csr_matrix(
        (lists.probability.ravel(), (pairs, lists.successor.ravel())),
        shape=(states * actions, states),
    )
    enough = 1e-6 * (1 - mdps.DISCOUNT) / mdps.DISCOUNT

    def solve() -> np.ndarray:
        values, change = np.zeros(states), np.inf
        while change > enough:
            q = lists.reward + mdps.DISCOUNT * (matrix @ values).reshape(states, actions)
            new = q.max(axis=1)
            change = np.abs(new - values).max()
            values = new
        return values

    checksum = float(np.mean(solve()))

    def measure() -> protocol.Result:
        solve()
        return {"steps": 1, "checksum": checksum}

    protocol.serve(
        measure,
        name="NumPy value iteration",
        unit="solves",
        packages=["numpy", "scipy"],
        settings=vars(arguments),
    )


if __name__ == "__main__":
    main()
