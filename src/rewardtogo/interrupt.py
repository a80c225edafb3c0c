"""Ctrl-C once to finish the step under way and save, twice to stop now."""

import os
import signal
import sys
from types import FrameType


class Interrupt:
    """A context in which the first Ctrl-C only sets `requested`; the second ends the process.

    Every file is written beside its final place and then renamed, so ending at any moment harms
    nothing.
    """

    def __init__(self):
        self.requested = False
        self._before = None

    def __enter__(self) -> "Interrupt":
        try:
            self._before = signal.signal(signal.SIGINT, self._handle)
        except ValueError:  # not the main thread: whoever runs this one decides on signals
            self._before = None
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(130)
        self.requested = True
        print("\nStopping after this step; Ctrl-C again stops now.", file=sys.stderr, flush=True)
