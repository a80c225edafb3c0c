"""`rtg control`: which flags there are with a table of action values, and which with features."""

from collections.abc import Sequence

from . import frame
from .control_linear import ControlLinear
from .control_tabular import METHODS, ControlTabular
from .flags import require_options


# `--features` decides, and not the method: sarsa and its like learn with a table and without.
FAMILIES = {"rtg control": ControlTabular, "rtg control --features tiles": ControlLinear}
_MORE = f"""

Without `--features` a table, of a finite MDP, by {", ".join(METHODS)}: `rtg control --help`
tells their flags.

With `--features`, in an environment written in JAX, by sarsa, expected-sarsa or q-learning:
`rtg control --features tiles --help` tells theirs."""


def run(argv: Sequence[str]) -> int:
    """Learn with a table, or with features where there are any."""
    featured = any(word.partition("=")[0] == "--features" for word in argv)
    command = "rtg control --features tiles" if featured else "rtg control"
    require_options(argv, FAMILIES[command], command=command)
    return frame.run(FAMILIES[command], argv, prog="rtg control", more=_MORE)
