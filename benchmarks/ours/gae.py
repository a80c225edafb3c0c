"""GAE on [2048, 64]: jitted, each call waited for."""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
import os

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import gae_data
from rewardtogo.devices import prepare
from rewardtogo.estimators.returns import generalised_advantage


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls a repetition")
    arguments = parser.parse_args()
    prepare("cpu", 1)
    rewards, values, terminated = map(jnp.asarray, gae_data.rollouts())

    @jax.jit
    def gae(rewards: jax.Array, values: jax.Array, terminated: jax.Array) -> jax.Array:
        return generalised_advantage(
            rewards,
            values[:-1],
            values[1:],
            terminated,
            jnp.zeros_like(terminated),
            discount=gae_data.DISCOUNT,
            trace_decay=gae_data.TRACE_DECAY,
        )

    def estimate() -> jax.Array:
        return gae(rewards, values, terminated).block_until_ready()

    checksum = gae_data.checksum(np.asarray(estimate()))

    def measure() -> protocol.Result:
        for _ in range(arguments.calls):
            estimate()
        return {"steps": arguments.calls, "checksum": checksum}

    measure()
    protocol.serve(
        measure,
        name="rewardtogo GAE",
        unit="calls",
        packages=["rewardtogo", "jax"],
        settings={"XLA_FLAGS": os.environ["XLA_FLAGS"]},
    )


if __name__ == "__main__":
    main()
