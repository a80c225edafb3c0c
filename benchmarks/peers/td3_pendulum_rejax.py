# pyright: reportMissingImports=false
"""TD3 on Pendulum-v1 by rejax in training: one environment, one update a step, nothing evaluated.

Each repetition continues the state the last one left. rejax fixes its networks at 64×64: they are
replaced by its own classes at 256×256 with ReLU. `--buffer` as in `sac_pendulum_rejax`.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import jax
from flax import linen as nn
from rejax import TD3
from rejax.networks import DeterministicPolicy, QNetwork


WARM_UP = 300
HIDDEN = (256, 256)


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2_000, help="updates a repetition")
    parser.add_argument("--buffer", type=int, default=20_000, help="replay buffer's capacity")
    arguments = parser.parse_args()

    def algorithm(steps: int) -> TD3:
        td3 = TD3.create(
            env="Pendulum-v1",
            num_envs=1,
            num_epochs=1,
            batch_size=256,
            buffer_size=arguments.buffer,
            fill_buffer=WARM_UP - 1,
            learning_rate=1e-3,
            polyak=0.995,
            exploration_noise=0.1,
            target_noise=0.2,
            target_noise_clip=0.5,
            policy_delay=2,
            total_timesteps=steps,
            eval_freq=steps,
            skip_initial_evaluation=True,
        )
        space = td3.action_space
        return td3.replace(
            actor=DeterministicPolicy(1, (space.low, space.high), HIDDEN, nn.relu),
            critic=QNetwork(HIDDEN, nn.relu),
            eval_callback=lambda algorithm, state, key: (),
        )

    td3 = algorithm(arguments.steps)
    state, _ = jax.jit(algorithm(WARM_UP).train)(jax.random.PRNGKey(0))
    resume = jax.jit(lambda state: td3.train(train_state=state)[0], donate_argnums=0)

    def measure() -> protocol.Result:
        nonlocal state
        before = int(state.critic_ts.step)
        state = jax.block_until_ready(resume(state))
        return {"steps": int(state.critic_ts.step) - before}

    measure()
    protocol.serve(
        measure,
        name="rejax TD3 Pendulum-v1",
        unit="updates",
        packages=["rejax", "gymnax", "jax"],
        settings={"buffer": arguments.buffer, "evaluation": "none"},
    )


if __name__ == "__main__":
    main()
