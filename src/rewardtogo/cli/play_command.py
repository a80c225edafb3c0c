"""`rtg play RUN --video out.gif`: watch what a run has learned, also without a display."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro

from .. import validate
from .flags import parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Play:
    """Render a trained policy to an animated picture."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    video: Path = Path("out.gif")
    """The picture to write: .gif, .webp or .png (animated)."""
    episodes: int = 1
    """Episodes to show, one after another."""
    seed: int = 0
    """Seed of the episodes."""
    training_seed: int | None = None
    """Which of the run's seeds plays; default the first."""
    best: bool = False
    """Play the best policy seen during training, not the last."""
    max_steps: int = 1000
    """Steps after which an episode is cut."""


def run(argv: Sequence[str]) -> int:
    """Play, render, write."""
    options = parse(Play, argv, prog="rtg play")
    validate.count("episodes", options.episodes)
    validate.count("max_steps", options.max_steps)
    validate.whole_seed("seed", options.seed)
    validate.one_of("suffix of `video`", options.video.suffix, (".gif", ".webp", ".png"))
    from ..runs.play import play

    returns = play(
        options.run,
        options.video,
        num_episodes=options.episodes,
        seed=options.seed,
        training_seed=options.training_seed,
        best=options.best,
        max_steps=options.max_steps,
    )
    text = ", ".join(f"{value:.1f}" for value in returns)
    print(f"{options.video}: return of each episode {text}")
    return 0
