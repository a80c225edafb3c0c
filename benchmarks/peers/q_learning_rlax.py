# pyright: reportMissingImports=false
"""Q-learning on FrozenLake8x8 by rlax: 100 seeds, one `scan` over steps under one `vmap`."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import jax
import jax.numpy as jnp
import jax.random as jr
import lake
import numpy as np
import rlax


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=20_000, help="steps a seed and repetition")
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    probability, successor, reward, terminal = map(jnp.asarray, lake.tables())
    greedy = rlax.epsilon_greedy(lake.EPSILON)

    def step(carry, key):
        q, state, time = carry
        action_key, outcome_key = jr.split(key)
        action = greedy.sample(action_key, q[state])
        cumulative = jnp.cumsum(probability[state, action])
        draw = jr.uniform(outcome_key)
        outcome = jnp.minimum(jnp.sum(cumulative <= draw), cumulative.size - 1)
        following = successor[state, action, outcome]
        ended = terminal[following]
        error = rlax.q_learning(
            q[state],
            action,
            reward[state, action, outcome],
            jnp.where(ended, 0.0, lake.DISCOUNT),
            q[following],
        )
        q = q.at[state, action].add(lake.STEP_SIZE * error)
        over = ended | (time + 1 >= lake.LIMIT)
        return (q, jnp.where(over, 0, following), jnp.where(over, 0, time + 1)), None

    def stretch(carry, key):
        return jax.lax.scan(step, carry, jr.split(key, arguments.steps))[0]

    go = jax.jit(jax.vmap(stretch))
    seeds = arguments.seeds
    carry = (jnp.zeros((seeds, *reward.shape[:2])), jnp.zeros(seeds, int), jnp.zeros(seeds, int))
    keys = iter(jr.split(jr.key(0), 1000))

    def measure() -> protocol.Result:
        nonlocal carry
        carry = jax.block_until_ready(go(carry, jr.split(next(keys), seeds)))
        return {"steps": arguments.steps * seeds, "checksum": float(np.asarray(carry[0]).max())}

    measure()
    protocol.serve(
        measure, name="rlax Q-learning", unit="updates", packages=["rlax", "jax"], settings={}
    )


if __name__ == "__main__":
    main()
