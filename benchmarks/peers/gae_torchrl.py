# pyright: reportMissingImports=false
"""GAE on [2048, 64] by TorchRL: its loop over time, the faster here, or `--vectorised`."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import gae_data
import torch
from torchrl.objectives.value.functional import (
    generalized_advantage_estimate,
    vec_generalized_advantage_estimate,
)


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--calls", type=int, default=20, help="calls a repetition")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use")
    parser.add_argument("--vectorised", action="store_true", help="its vectorised function")
    arguments = parser.parse_args()
    data = gae_data.rollouts()
    torch.set_num_threads(arguments.threads)
    rewards, values = torch.from_numpy(data.rewards), torch.from_numpy(data.values)
    terminated = torch.from_numpy(data.terminated)
    # TorchRL wants [environments, time, 1].
    reward, value, next_value, done = (
        array.T.contiguous().unsqueeze(-1)
        for array in (rewards, values[:-1], values[1:], terminated)
    )
    gae = (
        vec_generalized_advantage_estimate
        if arguments.vectorised
        else generalized_advantage_estimate
    )

    @torch.no_grad()
    def estimate() -> torch.Tensor:
        advantages, _ = gae(
            gae_data.DISCOUNT, gae_data.TRACE_DECAY, value, next_value, reward, done, done
        )
        return advantages

    advantages = estimate()

    def measure() -> protocol.Result:
        for _ in range(arguments.calls):
            estimate()
        return {"steps": arguments.calls, "checksum": checksum}

    checksum = gae_data.checksum(advantages.squeeze(-1).T.numpy())
    measure()
    protocol.serve(
        measure,
        name="TorchRL GAE",
        unit="calls",
        packages=["torchrl", "torch"],
        settings={"torch_threads": arguments.threads, "vectorised": arguments.vectorised},
    )


if __name__ == "__main__":
    main()
