"""What a person sees while something runs: one live line, or now and then a plain one."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A bar on a terminal; elsewhere a line at every tenth of the way. Use it as a context."""

    def __init__(self, total: int, *, unit: str, start: int = 0, quiet: bool = False):
        self._total, self._unit, self._quiet = total, unit, quiet
        self._next_line, self._began, self._start = start + total / 10, time.monotonic(), start
        self._bar = None
        if not quiet and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=start, unit=unit, unit_scale=True, leave=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, text: str) -> None:
        """Show that `done` of the total is done, and `text` beside it."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(done - self._bar.n)
        elif not self._quiet and (done >= self._next_line or done >= self._total):
            self._next_line = done + self._total / 10
            rate = (done - self._start) / max(time.monotonic() - self._began, 1e-9)
            left = (self._total - done) / max(rate, 1e-9)
            print(
                f"{done:>12,} / {self._total:,} {self._unit}  {rate:,.0f}/s  "
                f"{max(left, 0):.0f} s left  {text}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, text: str) -> None:
        """Print a line without tearing the bar."""
        if not self._quiet:
            tqdm.write(text, file=sys.stderr)
