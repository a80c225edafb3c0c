"""`rtg eval RUN`: how good is what a run has learned?"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import tyro

from .. import validate
from ..devices import Device
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Fresh episodes with the mode of the policy, for every seed of a run."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    episodes: int = 100
    """Episodes for each training seed."""
    seed: int = 1
    """Seed of the evaluation; 0 is the final evaluation's. No training seed draws the same."""
    best: bool = False
    """Evaluate the best policy seen during training, not the last."""
    json: bool = False
    """Print `evaluation.json`'s form."""
    device: Device = "auto"
    """Where to compute."""


def run(argv: Sequence[str]) -> int:
    """Evaluate and print."""
    options = parse(Evaluate, argv, prog="rtg eval")
    validate.count("episodes", options.episodes)
    validate.whole_seed("seed", options.seed)
    from ..devices import prepare
    from ..runs.load import SavedRun
    from ..runs.resume import read_settings

    prepare(options.device, read_settings(options.run).run.seeds or 1)
    saved = SavedRun(options.run, best=options.best)
    found = saved.evaluate(num_episodes=options.episodes, seed=options.seed)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
        return 0
    print(
        f"{saved.settings.algorithm} on {saved.settings.environment_name}: "
        f"{options.episodes} episodes a seed"
    )
    for seed, mean, deviation in zip(found.seeds, found.means, found.deviations, strict=True):
        print(
            f"  seed {seed:<6} mean return {mean:10.2f}   deviation of an episode {deviation:8.2f}"
        )
    interval = "" if found.iqm.low is None else "  (95 % bootstrap interval over seeds)"
    print(f"  interquartile mean over seeds  {found.iqm}{interval}")
    if found.optimum is not None:
        print(f"  {found.optimum}")
    return 0
