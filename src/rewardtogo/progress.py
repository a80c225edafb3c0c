"""What a person sees while something runs: one live line, or now and then a plain one."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A bar on a terminal; elsewhere a line at every tenth of the way. Use it as a context."""

    def __init__(self, total: int, *, unit: str, quiet: bool = False):
        self._total, self._unit, self._quiet = total, unit, quiet
        self._bar: tqdm | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, done: int = 0) -> None:
        """Show the bar; `done` was done before, and does not count as speed."""
        self._next_line = done + self._total / 10
        self._start, self._updates = (done, time.monotonic()), 0
        if not self._quiet and sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total,
                initial=min(done, self._total),
                unit=f" {self._unit}",
                unit_scale=True,
                leave=False,
            )

    def update(self, done: int, text: str) -> None:
        """Show that `done` of the total is done, and `text` beside it."""
        line = done >= self._next_line or done >= self._total
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(min(done, self._total) - self._bar.n)
        elif line and not self._quiet:
            self._next_line = done + self._total / 10
            print(f"{self._line(done)}  {text}", file=sys.stderr, flush=True)
        self._updates += 1
        if self._updates == 1:  # what went before it was compiling, and is not how it goes on
            self._start = done, time.monotonic()

    def _line(self, done: int) -> str:
        before, began = self._start
        rate = (done - before) / max(time.monotonic() - began, 1e-9)
        left = max(self._total - done, 0) / rate if rate else 0.0
        return f"{done:>12,} / {self._total:,} {self._unit}  {rate:,.0f}/s  {left:.0f} s left"

    def say(self, text: str) -> None:
        """Print a line without tearing the bar."""
        if not self._quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Print a line even where quiet was asked for."""
        tqdm.write(text, file=sys.stderr)
