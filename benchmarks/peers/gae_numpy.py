# pyright: reportMissingImports=false
"""GAE on [2048, 64] by a NumPy loop over time, as SB3 and CleanRL have it."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import gae_data
import numpy as np


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--calls", type=int, default=50, help="calls a repetition")
    arguments = parser.parse_args()
    data = gae_data.rollouts()
    continues = (~data.terminated).astype(np.float32)
    discount = np.float32(gae_data.DISCOUNT)
    decay = np.float32(gae_data.DISCOUNT * gae_data.TRACE_DECAY)

    def estimate() -> np.ndarray:
        advantages = np.zeros_like(data.rewards)
        last = np.zeros(gae_data.ENVS, dtype=np.float32)
        for t in reversed(range(gae_data.STEPS)):
            delta = data.rewards[t] + discount * data.values[t + 1] * continues[t] - data.values[t]
            last = delta + decay * continues[t] * last
            advantages[t] = last
        return advantages

    advantages = estimate()

    def measure() -> protocol.Result:
        for _ in range(arguments.calls):
            estimate()
        return {"steps": arguments.calls, "checksum": checksum}

    checksum = gae_data.checksum(advantages)
    measure()
    protocol.serve(
        measure,
        name="NumPy loop GAE",
        unit="calls",
        packages=["numpy"],
        settings={},
    )


if __name__ == "__main__":
    main()
