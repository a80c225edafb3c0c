# pyright: reportMissingImports=false
"""GAE on [2048, 64] by rlax: jitted, mapped over environments, each call waited for."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import functools

import gae_data
import jax
import jax.numpy as jnp
import numpy as np
import rlax


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls a repetition")
    arguments = parser.parse_args()
    data = gae_data.rollouts()
    rewards, values = jnp.asarray(data.rewards), jnp.asarray(data.values)
    discounts = jnp.asarray(np.float32(gae_data.DISCOUNT) * ~data.terminated)

    @jax.jit
    @functools.partial(jax.vmap, in_axes=1, out_axes=1)
    def gae(rewards: jax.Array, discounts: jax.Array, values: jax.Array) -> jax.Array:
        return rlax.truncated_generalized_advantage_estimation(
            rewards, discounts, gae_data.TRACE_DECAY, values
        )

    def estimate() -> jax.Array:
        return gae(rewards, discounts, values).block_until_ready()

    advantages = estimate()

    def measure() -> protocol.Result:
        for _ in range(arguments.calls):
            estimate()
        return {"steps": arguments.calls, "checksum": checksum}

    checksum = gae_data.checksum(np.asarray(advantages))
    measure()
    protocol.serve(
        measure,
        name="rlax GAE",
        unit="calls",
        packages=["rlax", "jax"],
        settings={},
    )


if __name__ == "__main__":
    main()
