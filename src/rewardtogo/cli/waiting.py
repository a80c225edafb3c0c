"""A sign of life from work whose length is not known."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def waiting(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal for how long the block has been running, from its second second on."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    done, began = threading.Event(), time.monotonic()

    def show() -> None:
        if done.wait(2):
            return
        while not done.wait(0.5):
            print(
                f"\r{text} … {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True
            )
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
