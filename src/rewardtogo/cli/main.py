"""The command `rtg`: one sub-command a file, and one place where errors become words."""

import importlib
import importlib.metadata
import sys
import traceback
from collections.abc import Sequence

from ..validate import one_of


COMMANDS = {
    "train": "train a policy and show what it learned",
    "eval": "evaluate a trained policy on fresh episodes",
    "play": "render a trained policy to a picture that moves",
    "plot": "compare the learning curves of several runs",
    "solve": "solve a small MDP exactly, with a certificate",
    "predict": "learn a policy's values from samples, against the exact ones",
    "control": "learn to act in a small MDP, beside its exact optimum",
    "lab": "hold every gradient estimator against the exact gradient, and run the theorems",
    "list": "show algorithms and environments, and what goes with what",
    "check": "say what is wrong with an environment of your own",
}

USAGE = "\n".join(
    [
        "usage: rtg COMMAND ...",
        "",
        *(f"  {name:<8}{what}" for name, what in COMMANDS.items()),
        "",
        "rtg COMMAND --help tells more; rtg --version names the version.",
    ]
)


def main(argv: list[str] | None = None) -> int:
    """Run `rtg` with these arguments; return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if "" not in sys.path:
        sys.path.append("")  # an environment of the user's own may lie in the current folder
    try:
        return _run(argv)
    except KeyboardInterrupt as interrupt:
        print(f"Interrupted: {interrupt}" if str(interrupt) else "Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        if not isinstance(error, _expected_errors()):
            raise
        print("\n".join(_described(f"rtg {argv[0]}", error)), file=sys.stderr)
        return 2 if isinstance(error, ValueError | FileNotFoundError) else 1


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"rewardtogo {importlib.metadata.version('rewardtogo')}")
        return 0
    one_of("command", argv[0], COMMANDS)
    command = importlib.import_module(f".{argv[0]}_command", __package__)
    return command.run(argv[1:])


def _described(name: str, error: Exception) -> list[str]:
    """The error in words; what an environment raised with the code that led there."""
    from ..envs.block import EnvironmentFault

    # JAX adds a note on how to see its own frames: none are shown here.
    notes = [n for n in getattr(error, "__notes__", []) if "JAX_TRACEBACK_FILTERING" not in n]
    lines = [f"{name}: {error}", *notes]
    if isinstance(error, EnvironmentFault) and error.__cause__ is not None:
        return ["".join(traceback.format_exception(error.__cause__)), *lines]
    return lines


def _expected_errors() -> tuple[type[Exception], ...]:
    """Errors that say all there is to say; anything else is a fault of ours, with its traceback."""
    from ..envs.block import EnvironmentFault
    from ..training.train import TrainingFault

    return ValueError, OSError, ImportError, EnvironmentFault, TrainingFault
