# pyright: reportMissingImports=false
"""PPO on CartPole-v1 or MinAtar's Breakout (gymnax) by PureJaxRL: steps per second, not compiling.

`--folder` is your own clone of PureJaxRL. Its settings are those at the foot of its `ppo.py`,
without the printing (`DEBUG`); Breakout has 64 environments and 8 minibatches. Seeds train together
by vmap. Its wrappers import brax and navix for environments not used here;
where they are not installed, empty modules stand in for them.

PureJaxRL returns every step's log, 0.4 GiB with 32 seeds; by default the worker returns the last
state only, so the compiler drops the log. `--keep-metrics` measures it as its authors run it.
"""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax


CONFIG = {
    "LR": 2.5e-4,
    "NUM_ENVS": 4,
    "NUM_STEPS": 128,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ENV_NAME": "CartPole-v1",
    "ANNEAL_LR": True,
    "DEBUG": False,
}
BREAKOUT = {"ENV_NAME": "Breakout-MinAtar", "NUM_ENVS": 64, "NUM_MINIBATCHES": 8}
ENVIRONMENTS = {"CartPole-v1": CONFIG, "Breakout-MinAtar": CONFIG | BREAKOUT}
STAND_INS = {
    "brax": {"envs": None},
    "brax.envs": {},
    "brax.envs.wrappers": {},
    "brax.envs.wrappers.training": {"EpisodeWrapper": None, "AutoResetWrapper": None},
    "navix": {},
}


def import_ppo(folder: Path) -> Any:
    """PureJaxRL's `ppo` module, from the clone's root or its `purejaxrl` folder."""
    places = [folder / "purejaxrl", folder]
    place = next((place for place in places if (place / "ppo.py").is_file()), None)
    if place is None:
        raise ValueError(f"--folder {folder}: expected a clone of PureJaxRL with purejaxrl/ppo.py")
    missing = {root for root in ("brax", "navix") if importlib.util.find_spec(root) is None}
    for name, attributes in STAND_INS.items():
        if name.split(".")[0] in missing:
            sys.modules[name] = ModuleType(name)
            sys.modules[name].__dict__.update(attributes)
    sys.path.insert(0, str(place))
    return importlib.import_module("ppo")


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="CartPole-v1")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--total-steps", type=int, default=500_000, help="steps a seed and repetition"
    )
    parser.add_argument("--keep-metrics", action="store_true", help="return the log as well")
    arguments = parser.parse_args()
    config = {**ENVIRONMENTS[arguments.environment], "TOTAL_TIMESTEPS": arguments.total_steps}
    train = import_ppo(arguments.folder).make_train(config)
    repetition = itertools.count()

    def final(key: jax.Array) -> Any:
        result = train(key)
        return result if arguments.keep_metrics else result["runner_state"]

    def keys() -> jax.Array:
        key = jax.random.PRNGKey(next(repetition))
        return jax.random.split(key, arguments.seeds) if arguments.seeds > 1 else key

    program = jax.vmap(final) if arguments.seeds > 1 else final
    compiled = jax.jit(program).lower(keys()).compile()
    steps = config["NUM_UPDATES"] * config["NUM_STEPS"] * config["NUM_ENVS"] * arguments.seeds

    def measure() -> protocol.Result:
        jax.block_until_ready(compiled(keys()))
        return {"steps": steps}

    measure()
    protocol.serve(
        measure,
        name=f"PureJaxRL PPO {arguments.environment}",
        unit="environment steps",
        packages=["gymnax", "flax", "jax"],
        settings={"seeds": arguments.seeds, "keep_metrics": arguments.keep_metrics, **config},
    )


if __name__ == "__main__":
    main()
