"""`rtg train ppo CartPole-v1 --seeds 1`, the whole process, its compiled programs kept before.

A repetition starts two fresh Pythons: one that imports the library and ends, one that trains. The
cache of compiled programs is the worker's own and filled by a first run, which is not counted.
"""

from benchmarks.peers import protocol  # first, so that nothing printed reaches standard output


# isort: split
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path


def timed(command: list[str], environment: Mapping[str, str]) -> float:
    """Wall-clock seconds of a fresh Python from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--total-steps", type=int, default=500_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, numbers = Path(temporary), itertools.count()
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        train = ["-m", "rewardtogo", "train", "ppo", "CartPole-v1", "--seeds", "1"]
        train += ["--total-steps", str(arguments.total_steps), "--run-dir"]

        def measure() -> protocol.Result:
            # The package imports its parts at their first use, so a bare `import` is no measure.
            imported = timed(["-c", "from rewardtogo import fit"], environment)
            seconds = timed([*train, str(folder / f"run-{next(numbers)}")], environment)
            kibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            return {
                "steps": arguments.total_steps,
                "seconds": seconds,
                "import_seconds": imported,
                "peak_rss_mb": kibibytes / (2**20 if sys.platform == "darwin" else 2**10),
            }

        first = measure()
        protocol.serve(
            measure,
            name="rewardtogo PPO CartPole-v1, whole process",
            unit="environment steps",
            packages=["rewardtogo", "jax"],
            settings={"command": ["rtg", *train[2:]], "first_seconds": first["seconds"]},
        )


if __name__ == "__main__":
    main()
