# pyright: reportMissingImports=false
"""PPO on CartPole-v1 by rejax, seeds together by vmap, steps per second without compiling.

Nothing is evaluated: the initial evaluation is skipped, the evaluation interval is the whole run,
and the one evaluation left, at its end, is replaced by a callback that returns nothing.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import itertools

import jax
from rejax import PPO


ENVS, STEPS = 4, 128


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--total-steps", type=int, default=500_000, help="steps a seed and repetition"
    )
    arguments = parser.parse_args()
    seeds, total = arguments.seeds, arguments.total_steps
    ppo = PPO.create(
        env="CartPole-v1",
        num_envs=ENVS,
        num_steps=STEPS,
        num_epochs=4,
        num_minibatches=4,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
        learning_rate=2.5e-4,
        max_grad_norm=0.5,
        total_timesteps=total,
        eval_freq=total,
        skip_initial_evaluation=True,
    ).replace(eval_callback=lambda algorithm, state, key: ())
    train = jax.vmap(ppo.train) if seeds > 1 else ppo.train
    repetition = itertools.count()

    def keys() -> jax.Array:
        key = jax.random.PRNGKey(next(repetition))
        return jax.random.split(key, seeds) if seeds > 1 else key

    compiled = jax.jit(train).lower(keys()).compile()

    def measure() -> protocol.Result:
        state, _ = jax.block_until_ready(compiled(keys()))
        return {"steps": int(state.global_step.sum())}

    measure()
    protocol.serve(
        measure,
        name="rejax PPO CartPole-v1",
        unit="environment steps",
        packages=["rejax", "gymnax", "jax"],
        settings={"seeds": seeds, "envs": ENVS, "steps": STEPS, "evaluation": "none"},
    )


if __name__ == "__main__":
    main()
