import io
import re
import sys
import time

import pytest

from rewardtogo.progress import Progress


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_lines_at_tenths_where_there_is_no_terminal(capsys):
    with Progress(1000, unit="steps") as progress:
        progress.begin()
        for done in range(50, 1050, 50):
            progress.update(done, f"return {done}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r" *100 / 1,000 steps  [\d,]+/s  \d+ s left  return 100", lines[0])
    assert lines[-1].strip().startswith("1,000 / 1,000") and " 0 s left" in lines[-1]


def test_speed_counts_neither_what_was_done_before_nor_compiling(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Progress(1000, unit="steps")
    progress.begin(500)
    for now, done in [(100.0, 550), (101.0, 650), (102.0, 750)]:
        clock[0] = now
        progress.update(done, "")
    lines = capsys.readouterr().err.splitlines()
    assert [line.strip() for line in lines] == [
        "650 / 1,000 steps  100/s  4 s left",
        "750 / 1,000 steps  100/s  2 s left",
    ]


def test_a_bar_on_a_terminal(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress(1000, unit="steps") as progress:
        progress.begin(100)
        progress.say("a word")
        for done in (400, 1024):
            time.sleep(0.11)  # a bar is drawn ten times a second
            progress.update(done, f"return {done}")
    text = screen.getvalue()
    assert "a word\n" in text
    assert "100%" in text and "return 1024" in text and " steps" in text
    assert "/1.00k" in text  # rounded up to 1,024, the bar stays a bar
    assert "10%" in text  # where it went on from


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_says_warnings_only(terminal, monkeypatch):
    screen = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress(10, unit="steps", quiet=True) as progress:
        progress.begin()
        progress.update(10, "x")
        progress.say("said")
        progress.warn("warned")
    assert screen.getvalue() == "warned\n"
