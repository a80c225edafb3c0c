"""What the commands on one problem have in common: look before the work, wait, print, draw."""

import abc
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..devices import prepare
from ..figures import require_writable
from .flags import parse
from .waiting import waiting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work[Found]:
    """What is to be done, all its input being good, and how to show what was found."""

    run: Callable[[], Found]
    as_json: Callable[[Found, float], Any]
    """Of what was found, and of the seconds it took; so are its words."""
    as_text: Callable[[Found, float], str]
    draw: Callable[[Found, Path], object] = lambda found, path: None
    succeeded: Callable[[Found], bool] = lambda found: True


class AbstractCommand(abc.ABC):
    """The flags of a command that is framed; its docstring heads the help.

    No dataclass itself: each command says in its own words what its JSON and its picture hold.
    """

    json: bool
    picture: Path | None

    doing: ClassVar[str] = "learning"
    """Shown while it takes; empty where the work shows by itself how far it is."""
    indent: ClassVar[int | None] = None
    """Of the JSON."""

    @abc.abstractmethod
    def check(self) -> int | None:
        """How many runs to prepare the machine for; None where JAX is not to be prepared.

        **Raises:** `ValueError` for what can be refused before anything is prepared.
        """

    @abc.abstractmethod
    def start(self) -> Work:
        """Resolve the names; **Raises:** `ValueError` for what is not there or does not fit."""


def run(kind: type[AbstractCommand], argv: Sequence[str], *, prog: str, more: str = "") -> int:
    """Parse, check, work, print, draw; exit status 1 if the work did not succeed.

    `more` follows the description in the help.
    """
    options = parse(kind, argv, prog=prog, description=f"{kind.__doc__}{more}")
    runs = options.check()
    if options.picture is not None:
        require_writable(options.picture)
    if runs is not None:
        prepare("cpu", runs)
    work = options.start()
    began = time.monotonic()
    with waiting(options.doing, quiet=options.json or not options.doing):
        found = work.run()
    seconds = time.monotonic() - began
    if options.json:
        print(json.dumps(work.as_json(found, seconds), indent=options.indent))
    else:
        print(work.as_text(found, seconds))
    if options.picture is not None:
        work.draw(found, options.picture)
        if not options.json:
            print(options.picture)
    return 0 if work.succeeded(found) else 1
