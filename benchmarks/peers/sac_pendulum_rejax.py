# pyright: reportMissingImports=false
"""SAC on Pendulum-v1 by rejax in training: one environment, one update a step, nothing evaluated.

Each repetition continues the state the last one left. rejax draws a batch without replacement, at
a cost that grows with the buffer's capacity, so the capacity is part of the figure: `--buffer`.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import jax
from rejax import SAC


WARM_UP = 300


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2_000, help="updates a repetition")
    parser.add_argument("--buffer", type=int, default=20_000, help="replay buffer's capacity")
    arguments = parser.parse_args()

    def algorithm(steps: int) -> SAC:
        return SAC.create(
            env="Pendulum-v1",
            num_envs=1,
            num_epochs=1,
            hidden_layer_sizes=(256, 256),
            batch_size=256,
            buffer_size=arguments.buffer,
            fill_buffer=WARM_UP - 1,
            learning_rate=1e-3,
            polyak=0.995,
            total_timesteps=steps,
            eval_freq=steps,
            skip_initial_evaluation=True,
        ).replace(eval_callback=lambda algorithm, state, key: ())

    sac = algorithm(arguments.steps)
    state, _ = jax.jit(algorithm(WARM_UP).train)(jax.random.PRNGKey(0))
    resume = jax.jit(lambda state: sac.train(train_state=state)[0], donate_argnums=0)

    def measure() -> protocol.Result:
        nonlocal state
        before = int(state.critic_ts.step)
        state = jax.block_until_ready(resume(state))
        return {"steps": int(state.critic_ts.step) - before}

    measure()
    protocol.serve(
        measure,
        name="rejax SAC Pendulum-v1",
        unit="updates",
        packages=["rejax", "gymnax", "jax"],
        settings={"buffer": arguments.buffer, "evaluation": "none"},
    )


if __name__ == "__main__":
    main()
