# pyright: reportMissingImports=false
"""Q-learning on FrozenLake8x8 by MushroomRL: its agent, its `Core`, its Gym; one seed."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import lake
import numpy as np
from mushroom_rl.algorithms.value import QLearning
from mushroom_rl.core import Core
from mushroom_rl.environments import Gym
from mushroom_rl.policy import EpsGreedy
from mushroom_rl.utils.parameters import Parameter


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=50_000, help="steps a repetition")
    arguments = parser.parse_args()
    np.random.seed(0)  # noqa: NPY002 - what MushroomRL draws from
    environment = Gym("FrozenLake8x8-v1", horizon=lake.LIMIT, gamma=lake.DISCOUNT)
    policy = EpsGreedy(Parameter(lake.EPSILON))
    agent = QLearning(environment.info, policy, Parameter(lake.STEP_SIZE))
    core = Core(agent, environment)

    def measure() -> protocol.Result:
        core.learn(n_steps=arguments.steps, n_steps_per_fit=1, quiet=True)
        return {"steps": arguments.steps, "checksum": float(agent.Q.table.max())}

    measure()
    protocol.serve(
        measure,
        name="MushroomRL Q-learning",
        unit="updates",
        packages=["mushroom-rl", "gym", "numpy"],
        settings={},
    )


if __name__ == "__main__":
    main()
