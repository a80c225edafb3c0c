# pyright: reportMissingImports=false
"""PPO on CartPole-v1 or MinAtar's Breakout (gymnax) by rejax: steps per second, not compiling.

Seeds train together by vmap. Nothing is evaluated: the initial evaluation is skipped, the
evaluation interval is the whole run, and the one evaluation left, at its end, is replaced by a
callback that returns nothing.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import itertools

import jax
from rejax import PPO


STEPS = 128
ENVS = {"CartPole-v1": 4, "Breakout-MinAtar": 64}
MINIBATCHES = {"CartPole-v1": 4, "Breakout-MinAtar": 8}


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--environment", choices=ENVS, default="CartPole-v1")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--total-steps", type=int, default=500_000, help="steps a seed and repetition"
    )
    arguments = parser.parse_args()
    seeds, total = arguments.seeds, arguments.total_steps
    environment, envs = arguments.environment, ENVS[arguments.environment]
    ppo = PPO.create(
        env=environment,
        num_envs=envs,
        num_steps=STEPS,
        num_epochs=4,
        num_minibatches=MINIBATCHES[environment],
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
        name=f"rejax PPO {environment}",
        unit="environment steps",
        packages=["rejax", "gymnax", "jax"],
        settings={"seeds": seeds, "envs": envs, "steps": STEPS, "evaluation": "none"},
    )


if __name__ == "__main__":
    main()
